"""Batch normalization over several processes against PyTorch's on the whole batch, in float64."""

import copy

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing, nn

from tinyrefinery.layers.synced_norm import synchronized

SHARES = (3, 5)  # of a batch of 8, by process
KINDS = {
    "2d": (lambda: nn.BatchNorm2d(4), (8, 4, 3, 5)),
    "1d": (lambda: nn.BatchNorm1d(4), (8, 4)),
    "no weights": (lambda: nn.BatchNorm2d(4, affine=False), (8, 4, 2, 2)),
    "mean over all batches": (lambda: nn.BatchNorm2d(4, momentum=None), (8, 4, 2, 2)),
    "no statistics": (lambda: nn.BatchNorm2d(4, track_running_stats=False), (8, 4, 2, 2)),
}


def layer_and_images(name):
    build, shape = KINDS[name]
    torch.manual_seed(0)
    layer = build().double()
    for weights in layer.parameters():
        nn.init.uniform_(weights, 0.5, 2.0)
    return layer, 3 + 2 * torch.randn(2, *shape, dtype=torch.float64)


def two_steps(layer, batches, weights):
    """Outputs and gradients of the inputs, of a loss that is no symmetric function of them."""
    found = []
    for images, weight in zip(batches, weights, strict=True):
        inputs = images.clone().requires_grad_()
        outputs = layer(inputs)
        (outputs.square() * weight).sum().backward()
        found += [outputs.detach().numpy(), inputs.grad.numpy()]
    return found


def loss_weights(batches):
    return torch.linspace(-1, 2, batches.numel(), dtype=torch.float64).reshape(batches.shape)


def statistics(layer):
    return {name: value.double().numpy() for name, value in layer.named_buffers()}


def part(rank, folder):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(SHARES)
    )
    begin = sum(SHARES[:rank])
    here = slice(begin, begin + SHARES[rank])
    for name in KINDS:
        layer, batches = layer_and_images(name)
        kind = type(layer)
        with synchronized(nn.Sequential(layer)):
            assert type(layer) is not kind
            found = two_steps(layer, batches[:, here], loss_weights(batches)[:, here])
        assert type(layer) is kind
        gradients = {n: p.grad.numpy() for n, p in layer.named_parameters()}
        np.savez(f"{folder}/{name}-{rank}.npz", *found, **statistics(layer), **gradients)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("synced")
    multiprocessing.spawn(part, (str(place),), nprocs=len(SHARES))
    return place


@pytest.mark.parametrize("name", KINDS)
def test_it_is_that_of_the_whole_batch(name, folder):
    layer, batches = layer_and_images(name)
    expected = two_steps(layer, batches, loss_weights(batches))
    parts = [np.load(folder / f"{name}-{rank}.npz") for rank in range(len(SHARES))]
    for place, values in enumerate(expected):
        found = np.concatenate([each[f"arr_{place}"] for each in parts])
        np.testing.assert_allclose(found, values, rtol=1e-10, atol=1e-10)
    for key, values in statistics(layer).items():
        for each in parts:
            np.testing.assert_allclose(each[key], values, rtol=1e-12)
    for key, weights in layer.named_parameters():
        total = sum(each[key] for each in parts)  # each process has the gradient of its share
        np.testing.assert_allclose(total, weights.grad.numpy(), rtol=1e-10, atol=1e-10)


def test_one_process_keeps_its_layers():
    network = nn.Sequential(nn.BatchNorm2d(4))
    before = copy.deepcopy(network)
    with synchronized(network):
        assert type(network[0]) is nn.BatchNorm2d
    assert type(before[0]) is type(network[0])
