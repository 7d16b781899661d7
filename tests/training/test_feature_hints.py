"""Hints against NumPy in float64, and in the training loop against a plain one."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.labels.policies import refined_labels
from tests.training.test_loop import ROWS, VIEW, Killed, assert_equal, job, weights
from tinyrefinery.data.batches import load, shuffled, split_batches
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.losses.hint_distance import LEAST_NORM, hint_distance
from tinyrefinery.models.image_network import ImageNetwork
from tinyrefinery.options.labels import Refining
from tinyrefinery.options.optimizers import AdamW, Sgd
from tinyrefinery.options.schedules import Cosine
from tinyrefinery.options.training import Hints
from tinyrefinery.training import learning_rates, parameter_groups
from tinyrefinery.training.feature_hints import FeatureHints, HintedLabels
from tinyrefinery.training.in_step import SharedBatches, SharedLabels
from tinyrefinery.training.loop import fit, fit_in_step
from tinyrefinery.training.state import load_state

RUNNING = Refining(batch_norm="running")


class Small(ImageNetwork):
    """A convolution of 12 pixels with a linear layer behind its mean."""

    def __init__(self, channels, stride=1, norm=False):
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, stride)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.fc = nn.Linear(channels, 3)

    def forward_features(self, x):
        return self.norm(self.conv(x)).relu()

    def forward_head(self, features):
        return self.fc(features.mean((2, 3)))


def student():
    torch.manual_seed(0)
    return Small(4)


def teacher():
    torch.manual_seed(1)
    return Small(6, stride=2, norm=True)


def normalized(p):
    """Vectors of places (..., C) divided by their norms, and the norms."""
    norms = np.maximum(np.sqrt((p**2).sum(-1, keepdims=True)), LEAST_NORM)
    return p / norms, norms


def distance(p, r):
    """The distance of features (B, h, w, C) in float64, and its gradient by p."""
    y, norms = normalized(p)
    u, _ = normalized(r)
    places = p[..., 0].size
    change = 2 * (y - u) / places
    gradient = (change - y * (y * change).sum(-1, keepdims=True)) / norms
    return ((y - u) ** 2).sum() / places, gradient


def pooled(maps, height, width):
    """Means of equal parts, (B, h, w, C), of maps (B, H, W, C)."""
    b, h, w, c = maps.shape
    return maps.reshape(b, height, h // height, width, w // width, c).mean((2, 4))


def test_the_distance_is_what_numpy_computes():
    draws = np.random.default_rng(0)
    p, r = draws.normal(size=(2, 5, 3, 2, 7))
    r[0, 0, 0] = 0  # a place where the refiner has no feature
    value, gradient = distance(p, r)
    ours = torch.tensor(p.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    theirs = torch.tensor(r.transpose(0, 3, 1, 2).copy())
    found = hint_distance(ours, theirs)
    found.backward()
    np.testing.assert_allclose(found.item(), value, rtol=1e-13)
    np.testing.assert_allclose(
        ours.grad.numpy(), gradient.transpose(0, 3, 1, 2), rtol=1e-12, atol=1e-16
    )
    cosines = (normalized(p)[0] * normalized(r)[0]).sum(-1)
    cosines[0, 0, 0] = 0.5  # 2 - 2 * 0.5: the distance from zero
    np.testing.assert_allclose(value, 2 - 2 * cosines.mean(), rtol=1e-13)
    assert hint_distance(3 * theirs, theirs) < 1e-30
    np.testing.assert_allclose(hint_distance(-theirs[1:], theirs[1:]), 4)


@pytest.mark.parametrize("of", ["map", "pooled"])
def test_the_projection_is_what_numpy_computes(of):
    draws = np.random.default_rng(1)
    features, hints = draws.normal(size=(3, 4, 6, 5)), draws.normal(size=(3, 2, 3, 8))
    module = FeatureHints(Hints(weight=2.5, of=of), 5, 8).double()
    weight, bias = (p.detach().numpy().reshape(8, -1) for p in module.parameters())
    size = (2, 3) if of == "map" else (1, 1)
    means = pooled(features, *size)
    value, change = distance(means @ weight.T + bias[:, 0], pooled(hints, *size))
    ours = torch.tensor(features.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    found = module(ours, torch.tensor(hints.transpose(0, 3, 1, 2).copy()))
    found.backward()
    np.testing.assert_allclose(found.item(), 2.5 * value, rtol=1e-13)
    area = features[0, ..., 0].size / np.prod(size)
    spread = np.repeat(np.repeat(change @ weight, 4 // size[0], 1), 6 // size[1], 2) / area
    wanted = 2.5 * spread.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(ours.grad.numpy(), wanted, rtol=1e-11, atol=1e-16)
    by_weight = np.einsum("bhwr,bhwc->rc", 2.5 * change, means)
    np.testing.assert_allclose(
        module.projection.weight.grad.numpy()[:, :, 0, 0], by_weight, rtol=1e-11, atol=1e-16
    )
    by_bias = 2.5 * change.sum((0, 1, 2))
    np.testing.assert_allclose(module.projection.bias.grad.numpy(), by_bias, rtol=1e-11, atol=1e-16)


def hinted(folder, part=Hints(), policy=None, **settings):  # noqa: B008  it is frozen
    """A training with hints, and its projection."""
    network, module = student(), FeatureHints(part, 4, 6, seed=3)
    policy = policy or refined_labels(Refiner([teacher()]), VIEW, ROWS, bn_group=16)
    optimizer = parameter_groups.build(Sgd(lr=0.1, momentum=0.9), network, beside=module)
    made = job(folder, network, schedule=learning_rates.build(Cosine(), 3), **settings)
    hints = HintedLabels(module, policy.with_features)
    return dataclasses.replace(made, policy=policy, hints=hints, optimizer=optimizer), module


def test_training_equals_a_plain_loop(tmp_path):
    policy = refined_labels(Refiner([teacher()], RUNNING), VIEW, ROWS, bn_group=16)
    training, module = hinted(tmp_path, Hints(weight=0.5), policy)
    network, projection = student(), copy.deepcopy(module)
    refiner, start = teacher().eval(), weights(module)
    both = nn.ModuleList([network, projection])
    optimizer = torch.optim.SGD(both.parameters(), lr=0.1, momentum=0.9)
    schedule = learning_rates.build(Cosine(), 3)
    for epoch in range(3):
        order = split_batches(shuffled(ROWS, VIEW.seed, epoch), 16, drop_last=True)
        for step, rows in enumerate(order):
            optimizer.param_groups[0]["lr"] = 0.1 * schedule(epoch + step / 5)
            images = VIEW.render(rows, epoch).images
            with torch.no_grad():
                maps = refiner.forward_features(images)
                targets = refiner.forward_head(maps).softmax(1)
            features = network.forward_features(images)
            loss = F.cross_entropy(network.forward_head(features), targets)
            own = F.adaptive_avg_pool2d(features, maps.shape[2:])
            cosine = F.cosine_similarity(projection.projection(own), maps, dim=1)
            optimizer.zero_grad()
            (loss + 0.5 * (2 - 2 * cosine.mean())).backward()
            optimizer.step()
    trained, history = fit(training)
    for name, tensor in weights(trained).items():
        torch.testing.assert_close(tensor, network.state_dict()[name], rtol=1e-4, atol=1e-5)
    for name, tensor in weights(module).items():
        torch.testing.assert_close(tensor, projection.state_dict()[name], rtol=1e-4, atol=1e-5)
        assert (tensor - start[name]).abs().max() > 1e-3
    assert weights(trained).keys() == weights(student()).keys()
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_a_weight_of_zero_changes_nothing(tmp_path):
    alone, _ = hinted(tmp_path / "without")
    without = weights(fit(dataclasses.replace(alone, hints=None))[0])
    found, _ = hinted(tmp_path / "zero", Hints(weight=0))
    assert_equal(weights(fit(found)[0]), without)
    more, _ = hinted(tmp_path / "one")
    assert not torch.equal(weights(fit(more)[0])["conv.weight"], without["conv.weight"])


@pytest.mark.parametrize("group", [16, 24])  # batches of 16 cut across groups of 24
def test_resume_is_bit_identical(tmp_path, group):
    def whole(folder, **options):
        policy = refined_labels(Refiner([teacher()]), VIEW, ROWS, bn_group=group)
        training, module = hinted(folder, policy=policy, checkpoint_every_steps=2, **options)
        return weights(fit(training)[0]), weights(module)

    undisturbed = whole(tmp_path / "whole")
    calls = []

    def die(network):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return {"validation_top1": 0.5}

    with pytest.raises(Killed):
        whole(tmp_path / "cut", validate=die)
    state = load_state(tmp_path / "cut" / "state.pt")
    assert set(state["hints"]) == {"projection.weight", "projection.bias"}
    assert len(state["optimizer"]["state"]) == 6
    for ours, theirs in zip(whole(tmp_path / "cut"), undisturbed, strict=True):
        assert_equal(ours, theirs)


def test_beside_a_training_without_hints_each_ends_as_alone(tmp_path):
    def pair(folder, policy, batches=load):
        with_hints, _ = hinted(folder / "1", policy=policy)
        without = dataclasses.replace(hinted(folder / "2", policy=policy)[0], hints=None)
        return [dataclasses.replace(one, load=batches) for one in (without, with_hints)]

    policy = refined_labels(Refiner([teacher()]), VIEW, ROWS, bn_group=16)
    alone = [weights(fit(one)[0]) for one in pair(tmp_path / "alone", policy)]
    passes = []
    refiner = policy.crop_labels.refiner.networks[0]
    refiner.norm.register_forward_hook(lambda *_: passes.append(1))
    shared = pair(tmp_path / "shared", SharedLabels(policy, features=True), SharedBatches())
    for (trained, _), expected in zip(fit_in_step(shared), alone, strict=True):
        assert_equal(weights(trained), expected)
    assert len(passes) == 3 * 5  # one pass a batch for both


@pytest.mark.parametrize("group", [8, 16, 24])
@pytest.mark.parametrize("hard", [False, True])
def test_labels_are_those_without_features(group, hard):
    policy, other = (
        refined_labels(Refiner([teacher()]), VIEW, ROWS, bn_group=group, hard=hard)
        for _ in range(2)
    )
    batch = VIEW.render(shuffled(ROWS, VIEW.seed, 0)[:16], 0)
    targets, maps = policy.with_features(batch)
    assert torch.equal(targets, other(batch))
    network = Refiner([teacher()]).networks[0]
    size = 8 if group == 8 else 16
    wanted = [network.forward_features(part) for part in batch.images.split(size)]
    torch.testing.assert_close(maps, torch.cat(wanted), rtol=1e-5, atol=1e-6)
    assert not maps.requires_grad


def test_the_projection_learns_at_the_full_rate_and_decays_as_weights_do():
    module = FeatureHints(Hints(), 4, 6)
    part = AdamW(lr=0.1, weight_decay=0.2, decay_norm_and_bias=False, layer_decay=0.5)
    optimizer = parameter_groups.build(part, student(), {"fc.weight", "fc.bias"}, module)
    places = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    weight, bias = (places[id(p)] for p in module.projection.parameters())
    assert (weight["lr"], weight["weight_decay"]) == (0.1, 0.2)
    assert (bias["lr"], bias["weight_decay"]) == (0.1, 0.0)


def test_seeds_give_projections_and_leave_the_generator_alone():
    before = torch.random.get_rng_state()
    one, same, other = (FeatureHints(Hints(), 4, 6, seed).projection.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)
