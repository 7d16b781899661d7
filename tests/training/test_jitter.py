"""Jittered crops against gradients that are derived by hand or by differences."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional as F

from tests.labels.policies import refined_labels
from tests.losses.named import create as create_loss
from tests.training.test_loop import (
    ROWS,
    VIEW,
    Killed,
    assert_equal,
    job,
    small_network,
    weights,
)
from tinyrefinery.data.batches import load, shuffled, split_batches
from tinyrefinery.errors import DataError
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.losses.targets import SparseTargets
from tinyrefinery.options.crops import IMAGENET_MEAN, IMAGENET_STD
from tinyrefinery.options.schedules import Cosine
from tinyrefinery.options.training import Jitter
from tinyrefinery.training import jitter as jitter_module
from tinyrefinery.training import learning_rates as schedules
from tinyrefinery.training.dynamics import Dynamics
from tinyrefinery.training.in_step import SharedBatches, SharedLabels
from tinyrefinery.training.jitter import CropJitter, ascend, at_rest, divergences
from tinyrefinery.training.loop import fit, fit_in_step

PIXELS = 144
FORWARD = "label_to_output"


def network(seed, **options):
    net = small_network(**options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(std=0.5, generator=generator)
    return net


def linear(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 3))


def policy(net=None, bn_group=16, **options):
    return refined_labels(Refiner([net or network(9)]), VIEW, ROWS, bn_group=bn_group, **options)


def crops(count=8):
    return VIEW.render(ROWS[:count], 0).images


def jitterer(labels, **options):
    return CropJitter(Jitter(**options), labels)


def jittered(net, images, targets=None, **options):
    made = jitterer(options.pop("policy", None) or policy(), **options)
    targets = made.refiner(images) if targets is None else targets
    return made(images, targets, net)


def wide(net):
    """Weight and bias of a linear network in float64."""
    return net[1].weight.detach().double().numpy(), net[1].bias.detach().double().numpy()


def softmax(logits):
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


@pytest.mark.parametrize("direction", ["label_to_output", "output_to_label"])
@pytest.mark.parametrize("through", [True, False])
def test_one_step_of_linear_networks_is_that_derived_by_hand(through, direction):
    student, refiner, images = linear(1), linear(2), crops()
    found, _ = jittered(
        student,
        images,
        policy=policy(refiner),
        step=0.7,
        through_refiner=through,
        direction=direction,
    )
    x = images.double().numpy().reshape(len(images), PIXELS)
    (w, b), (v, c) = wide(student), wide(refiner)
    p, t = softmax(x @ w.T + b), softmax(x @ v.T + c)
    # KL(t || p): by the output's logits p - t, by the label's t (r - t.r) with r = log t - log p.
    of_output, of_label = p - t, softmax_slope(t, np.log(t) - np.log(p))
    if direction == "output_to_label":
        of_output, of_label = softmax_slope(p, np.log(p) - np.log(t)), t - p
    gradient = of_output @ w + (of_label @ v if through else 0)
    np.testing.assert_allclose(found[8:].reshape(8, PIXELS), x + 0.7 * gradient, atol=2e-5)
    assert torch.equal(found[:8], images)


def softmax_slope(p, values):
    """Derivative of sum(p * values) by the logits of p, `values` moving with p as logarithms do."""
    return p * (values - (p * values).sum(1, keepdims=True))


@pytest.mark.parametrize("mode", ["batch", "running"])
def test_the_step_follows_differences_of_a_network_with_batch_norm(mode):
    torch.manual_seed(3)
    net = network(4, dropout=0.4).double().train()
    net[1].running_mean.normal_()
    images = crops(6).double()
    targets = torch.rand(6, 3, dtype=torch.float64).softmax(1)
    made = jitterer(policy(), through_refiner=False, batch_norm=mode)
    gradient = made._ascend(images, targets, net) - images
    still = copy.deepcopy(net).eval()
    still[1].training = mode == "batch"  # dropout is off in both

    def total(pixels):
        probabilities = still(pixels).softmax(1).detach().numpy()
        label = targets.numpy()
        return (label * (np.log(label) - np.log(probabilities))).sum()

    for place in [(0, 0, 3, 4), (2, 0, 6, 6), (5, 0, 11, 0)]:
        up, down = images.clone(), images.clone()
        up[place] += 1e-6
        down[place] -= 1e-6
        slope = (total(up) - total(down)) / 2e-6
        assert gradient[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-8)
    assert gradient.abs().max() > 1e-4


@pytest.mark.parametrize(("norm", "step"), [("gradient", 1.0), ("sign", 0.02), ("l2", 0.2)])
@pytest.mark.parametrize("through", [True, False])
def test_refiner_and_network_agree_less_after_the_step(norm, step, through):
    net, images = network(5), crops(16)
    made = jitterer(policy(), step=step, norm=norm, through_refiner=through)
    targets = made.refiner(images)
    moved = made(images, targets, net)[0][16:]
    with torch.no_grad(), at_rest(net, batch_statistics=True):
        label = made.refiner(moved) if through else targets
        before = divergences(targets, net(images), FORWARD).sum()
        after = divergences(label, net(moved), FORWARD).sum()
    assert after > before * 1.001


def test_lengths_of_a_step():
    images, gradient = torch.zeros(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    gradient[2] = 0
    assert torch.equal(ascend(images, gradient, 2.0, "gradient"), 2 * gradient)
    assert ascend(images, gradient, 0.5, "sign")[:2].abs().unique().tolist() == [0.5]
    lengths = ascend(images, gradient, 3.0, "l2").flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([3.0, 3.0, 0.0]))


def test_a_crop_s_step_does_not_depend_on_the_size_of_its_batch():
    net = linear(1)
    eight = jittered(net, crops(8), policy=policy(linear(2)))[0][8:]
    four = jittered(net, crops(4), policy=policy(linear(2)))[0][4:]
    torch.testing.assert_close(eight[:4], four)
    mean = jittered(net, crops(8), policy=policy(linear(2)), average="batch")[0][8:]
    torch.testing.assert_close((mean - crops(8)) * 8, eight - crops(8))


def test_the_mean_over_a_batch_is_that_of_all_processes(monkeypatch):
    net, options = linear(1), {"average": "batch"}
    whole = jittered(net, crops(8), policy=policy(linear(2)), **options)[0][8:]
    monkeypatch.setattr(jitter_module, "process_count", lambda: 2)
    half = jittered(net, crops(4), policy=policy(linear(2)), **options)[0][4:]
    torch.testing.assert_close(half, whole[:4])


def test_the_divergence_has_a_gradient_where_a_label_is_zero():
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    value = divergences(logits.softmax(1), torch.randn(1, 3), FORWARD).sum()
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.isfinite().all()
    both = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.1, 0.2, 0.3]])
    expected = F.kl_div(both[1].log_softmax(1), both[0], reduction="sum")
    torch.testing.assert_close(divergences(*both, FORWARD).sum(), expected)


@pytest.mark.parametrize("options", [{}, {"batch_norm": "running"}, {"through_refiner": False}])
def test_the_network_is_left_as_it_was(options):
    net = network(6, dropout=0.5).train()
    net[3].eval()
    before, chance = weights(net), torch.get_rng_state()
    jittered(net, crops(), **options)
    assert_equal(weights(net), before)
    assert torch.equal(torch.get_rng_state(), chance)
    assert [m.training for m in net] == [True, True, True, False, True, True, True]
    assert net[1].track_running_stats
    assert all(weight.grad is None for weight in net.parameters())


def test_frozen_batch_norm_keeps_its_running_statistics_in_the_ascent():
    """As in training, where its module is in evaluation mode."""
    net, images = network(6).train(), crops()
    in_training, _ = jittered(net, images)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(3.0)
            module.eval()
    frozen, _ = jittered(net, images)
    running, _ = jittered(net, images, batch_norm="running")
    assert torch.equal(frozen, running)
    assert (frozen - in_training).abs().max() > 1e-4


def test_labels_are_the_refiner_s_of_the_jittered_crops_among_their_mates():
    net, images = network(5), crops(16)
    made = jitterer(policy(bn_group=8))
    shown, targets = made(images, made.refiner(images), net)
    moved = shown[16:]
    for part in (slice(0, 8), slice(8, 16)):
        expected = made.refiner(torch.cat([images[part], moved[part]]))[8:]
        assert torch.equal(targets[16:][part], expected)
    alone = jitterer(policy(bn_group=8), refiner_batch="jittered")
    shown, targets = alone(images, made.refiner(images), net)
    assert torch.equal(targets[16:24], alone.refiner(shown[16:24]))


def test_hard_labels_are_hard_and_the_share_is_kept():
    shown, targets = jittered(network(5), crops(8), policy=policy(hard=True), share=0.5)
    assert len(shown) == len(targets) == 12
    assert set(targets[8:].unique().tolist()) == {0.0, 1.0}
    whole = jittered(network(5), crops(8))[0]
    assert torch.equal(shown, whole[:12])


def test_the_step_of_hard_labels():
    """Through the refiner it follows the distribution, as a hard label has no gradient; a label
    that is held fast is the hard one."""
    net, images, hard = network(5), crops(8), policy(hard=True)
    soft_labels = hard.crop_labels.refiner(images)
    hard_labels = torch.eye(3)[soft_labels.argmax(dim=1)]
    through = jittered(net, images, hard_labels, policy=hard)[0]
    assert torch.equal(through, jittered(net, images, soft_labels)[0])
    held = jittered(net, images, hard_labels, policy=hard, through_refiner=False)[0]
    assert torch.equal(held, jittered(net, images, hard_labels, through_refiner=False)[0])
    assert not torch.equal(held, jittered(net, images, soft_labels, through_refiner=False)[0])
    assert not torch.equal(held, through)


def test_a_small_share_keeps_two_mates():
    shown, targets = jittered(network(5), crops(16), policy=policy(bn_group=4), share=0.01)
    assert len(shown) == len(targets) == 18
    assert targets.isfinite().all()


def test_sparse_targets_stay_sparse_with_as_many_classes():
    images, net = crops(8), network(5)
    natural = SparseTargets(torch.tensor([[1, 2]] * 8), torch.tensor([[0.6, 0.3]] * 8), 3)
    made = jitterer(policy(), through_refiner=False)
    shown, targets = made(images, natural, net)
    assert isinstance(targets, SparseTargets)
    assert targets.index.shape == (16, 2)
    again, dense = made(images, natural.dense(), net)
    assert torch.equal(shown, again)
    top = dense[8:].topk(2, dim=1)
    assert torch.equal(targets.index[8:], top.indices)
    torch.testing.assert_close(targets.probability[8:], top.values)


def test_clamping_keeps_pixels_between_black_and_white():
    moved = jittered(network(5), crops(8), step=50.0, norm="sign", clamp=True)[0][8:]
    mean, std = sum(IMAGENET_MEAN) / 3, sum(IMAGENET_STD) / 3  # the view's, of one channel
    assert moved.min().item() == pytest.approx(-mean / std, rel=1e-6)
    assert moved.max().item() == pytest.approx((1 - mean) / std, rel=1e-6)


def test_one_crop_has_no_mates():
    with pytest.raises(DataError, match=r"larger batch_size or labels\.batch_norm: running"):
        jittered(network(5), crops(1), torch.ones(1, 3) / 3)
    shown, _ = jittered(linear(1), crops(1), policy=policy(linear(2)))
    assert len(shown) == 2


def training(folder, seed=1, **settings):
    made = job(folder, network(seed, dropout=0.2), **settings)
    labels = policy()
    return dataclasses.replace(
        made, policy=labels, jitter=jitterer(labels, step=3.0), loss=create_loss("kl")
    )


def test_the_loop_equals_a_plain_one(tmp_path):
    labels, net = policy(), network(1)
    dynamics = Dynamics(ROWS, 3, refined=True)
    made = dataclasses.replace(
        job(tmp_path, copy.deepcopy(net)),
        policy=labels,
        jitter=jitterer(labels, step=3.0),
        dynamics=dynamics,
    )
    trained, history = fit(made)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    refiner, schedule, losses = labels.crop_labels.refiner, schedules.build(Cosine(), 3), []
    for epoch in range(3):
        order = split_batches(shuffled(ROWS, VIEW.seed, epoch), 16, drop_last=True)
        for step, rows in enumerate(order):
            optimizer.param_groups[0]["lr"] = 0.1 * schedule(epoch + step / 5)
            images = VIEW.render(rows, epoch).images.requires_grad_()
            asked = copy.deepcopy(net).train()
            label = refiner.differentiable(images)
            apart = (label * (label.log() - asked(images).log_softmax(1))).sum()
            moved = (images + 3 * torch.autograd.grad(apart, images)[0]).detach()
            both = torch.cat([images.detach(), moved])
            targets = torch.cat([label.detach(), refiner(both)[16:]])
            optimizer.zero_grad()
            value = -(targets * net(both).log_softmax(1)).sum(1).mean()
            value.backward()
            optimizer.step()
            losses.append(value.item())
    for name, tensor in weights(net).items():
        torch.testing.assert_close(weights(trained)[name], tensor, atol=2e-5, rtol=1e-4)
    assert history[-1]["train_loss"] == pytest.approx(np.mean(losses[-5:]), rel=1e-4)
    assert (dynamics.measures()["visits"] == 3).all()


@pytest.mark.parametrize("every", [None, 2])
def test_resume_is_bit_identical(tmp_path, every):
    undisturbed = weights(fit(training(tmp_path / "whole", checkpoint_every_steps=every))[0])
    calls = []

    def die(network):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return {"validation_top1": 0.5}

    cut = training(tmp_path / "cut", checkpoint_every_steps=every)
    with pytest.raises(Killed):
        fit(dataclasses.replace(cut, validate=die))
    again = fit(training(tmp_path / "cut", checkpoint_every_steps=every))[0]
    assert_equal(weights(again), undisturbed)


def test_networks_in_step_each_have_their_own_jitter(tmp_path):
    def jobs(folder, shared):
        labels = policy()
        made = []
        for seed, jitter in ((1, jitterer(labels, step=3.0)), (2, jitterer(labels)), (3, None)):
            each = job(folder / str(seed), network(seed))
            made.append(dataclasses.replace(each, policy=labels, jitter=jitter, load=load))
        if shared:
            policies, batches = SharedLabels(labels), SharedBatches()
            made = [dataclasses.replace(m, policy=policies, load=batches) for m in made]
        return made

    alone = [weights(fit(each)[0]) for each in jobs(tmp_path / "alone", shared=False)]
    together = fit_in_step(jobs(tmp_path / "together", shared=True))
    for trained, expected in zip(together, alone, strict=True):
        assert_equal(weights(trained[0]), expected)


@pytest.mark.parametrize("loss", ["kl", "cross_entropy", "focal", "l2"])
def test_every_loss_trains(tmp_path, loss):
    made = dataclasses.replace(training(tmp_path, epochs=1), loss=create_loss(loss))
    assert np.isfinite(fit(made)[1][0]["train_loss"])


def test_bfloat16_and_channels_last(tmp_path):
    plain = fit(training(tmp_path / "32", epochs=1))[1][0]["train_loss"]
    last = fit(training(tmp_path / "last", epochs=1, channels_last=True))[1][0]["train_loss"]
    assert last == pytest.approx(plain, rel=1e-4)
    half = training(tmp_path / "16", epochs=1)
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    labels = refined_labels(Refiner([network(9)], bf16=True), VIEW, ROWS, bn_group=16)
    half = dataclasses.replace(
        half, fabric=fabric, policy=labels, jitter=jitterer(labels, step=3.0)
    )
    assert fit(half)[1][0]["train_loss"] == pytest.approx(plain, rel=0.1)
