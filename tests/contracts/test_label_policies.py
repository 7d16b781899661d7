"""What every label policy promises, and what sets the refined ones apart."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.scenes import stripes
from tests.labels.policies import refined_labels
from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.errors import CheckpointError
from tinyrefinery.labels.policy import GivenLabels, SmoothedLabels
from tinyrefinery.labels.refiner import Refiner, renormalize
from tinyrefinery.options.crops import Augment, Center, Inception
from tinyrefinery.options.labels import LabelSmoothing, Refining

CLASSES = 3
DATA = stripes()
VIEW = View(DATA, Inception(size=12), seed=4, augment=Augment(flip=0.5))
WHOLE = View(DATA, Center(size=12))
ROWS = DATA.manifest.rows("train")


def small_network(seed=0, classes=CLASSES):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, classes),
    ).train()


def refined(network=None, batch_norm="batch", temperature=1.0, **options):
    part = Refining(batch_norm=batch_norm, temperature=temperature)
    refiner = Refiner([network or small_network()], part)
    if batch_norm == "calibrated":
        refiner.calibrate(lambda: [VIEW.render(ROWS, 0)])
    return refined_labels(refiner, VIEW, ROWS, image_view=WHOLE, bn_group=16, **options)


POLICIES = {
    "ground_truth": lambda: GivenLabels(CLASSES),
    "smoothing": lambda: SmoothedLabels(LabelSmoothing(epsilon=0.1), CLASSES),
    **{
        f"refined-{level}-{mode}{'-hard' if hard else ''}": (
            lambda level=level, mode=mode, hard=hard: refined(None, mode, level=level, hard=hard)
        )
        for level in ("crop", "image", "category")
        for mode in ("batch", "running", "calibrated")
        for hard in (False, True)
    },
}


def batches(size=16, epoch=0):
    order = shuffled(ROWS, VIEW.seed, epoch)
    return [VIEW.render(rows, epoch) for rows in split_batches(order, size, drop_last=False)]


@pytest.mark.parametrize("name", POLICIES)
def test_targets_are_distributions_without_gradient(name):
    policy = POLICIES[name]()
    for batch in batches():
        targets = policy(batch)
        assert targets.shape == (len(batch.rows), CLASSES)
        assert targets.dtype == torch.float32
        assert not targets.requires_grad
        assert (targets >= 0).all()
        torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))


@pytest.mark.parametrize("name", POLICIES)
def test_targets_are_the_same_when_asked_again(name):
    policy, again = POLICIES[name](), POLICIES[name]()
    for batch in batches():
        assert torch.equal(policy(batch), again(batch))


@pytest.mark.parametrize("mode", ["batch", "running", "calibrated"])
@pytest.mark.parametrize("level", ["crop", "image", "category"])
def test_labels_do_not_depend_on_the_students_batches(level, mode):
    """One label a crop, whatever batch size or order asks for it."""
    table = torch.zeros(len(DATA.manifest), CLASSES)
    for batch in batches(16):
        table[batch.rows] = refined(None, mode, level=level)(batch)
    policy = refined(None, mode, level=level)
    for batch in batches(10):  # cuts across BN groups
        torch.testing.assert_close(policy(batch), table[batch.rows], atol=1e-6, rtol=1e-5)
    batch = VIEW.render(ROWS[::-1].copy(), 0)
    torch.testing.assert_close(policy(batch), table[batch.rows], atol=1e-6, rtol=1e-5)


def test_ground_truth_and_smoothing_against_numpy():
    batch = batches()[0]
    one_hot = np.eye(CLASSES)[batch.labels.numpy()]
    np.testing.assert_array_equal(GivenLabels(CLASSES)(batch).numpy(), one_hot)
    smooth = SmoothedLabels(LabelSmoothing(epsilon=0.3), CLASSES)(batch).numpy()
    np.testing.assert_allclose(smooth, 0.7 * one_hot + 0.1, atol=1e-6)


def test_the_refiner_is_left_as_it_was():
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for mode in ("batch", "running", "calibrated"):
        policy = refined(network, mode)
        for batch in batches():
            policy(batch)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(p.requires_grad for p in network.parameters())


def test_crop_labels_equal_the_network_by_hand():
    network, batch = small_network(), batches()[1]
    maps = network[0](batch.images)
    mean, var = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=False)
    normal = (maps - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    logits = network[6](network[5](network[4](normal.relu())))  # no dropout
    expected = (logits.double() / 2.5).softmax(1).float().detach()
    torch.testing.assert_close(refined(network, temperature=2.5)(batch), expected)


def test_running_statistics_equal_eval_mode():
    network, batch = small_network(), batches()[0]
    expected = network.eval()(batch.images).softmax(1).detach()
    torch.testing.assert_close(refined(network, "running")(batch), expected)


def test_image_labels_are_those_of_the_central_crop_and_stay():
    policy = refined(None, "running", level="image")
    first = policy(batches(epoch=0)[0])
    rows = batches(epoch=0)[0].rows
    network = small_network().eval()
    expected = network(WHOLE.render(rows, 0).images).softmax(1).detach()
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(policy(VIEW.render(rows, 5)), first)


def test_category_labels_are_the_mean_over_the_class():
    policy = refined(None, "running", level="category")
    labels = small_network().eval()(WHOLE.render(ROWS, 0).images).softmax(1).detach().numpy()
    given = DATA.manifest.labels[ROWS]
    batch = batches()[0]
    expected = np.stack([labels[given == c].mean(0) for c in batch.labels.tolist()])
    np.testing.assert_allclose(policy(batch).numpy(), expected, atol=1e-5)


def test_hard_labels_are_the_most_likely_class():
    soft, hard = refined(None, "running"), refined(None, "running", hard=True)
    for batch in batches():
        np.testing.assert_array_equal(
            hard(batch).numpy(), np.eye(CLASSES)[soft(batch).numpy().argmax(1)]
        )


def test_an_ensemble_is_the_mean_of_its_members():
    members = [small_network(seed) for seed in (0, 1, 2)]
    running = Refining(batch_norm="running")
    together = refined_labels(Refiner(members, running), VIEW, ROWS)
    alone = [refined_labels(Refiner([member], running), VIEW, ROWS) for member in members]
    batch = batches()[0]
    expected = torch.stack([policy(batch) for policy in alone]).mean(0)
    torch.testing.assert_close(together(batch), expected)


def test_a_refiner_of_other_classes_is_refused():
    policy = refined(small_network(classes=7))
    with pytest.raises(CheckpointError, match="has 7 classes, but dataset 'stripes' has 3"):
        policy(batches()[0])


def test_without_batch_norm_there_are_no_groups():
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, CLASSES))
    policy = refined_labels(Refiner([network]), VIEW, ROWS)
    assert policy.plan is None


def test_renormalize():
    pixels = torch.rand(4, 3, 5, 5)
    a, b = ((0.5, 0.4, 0.3), (0.2, 0.3, 0.1)), ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))

    def normal(mean, std):
        return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    torch.testing.assert_close(renormalize(normal(*a), a, b), normal(*b), atol=1e-5, rtol=1e-5)
    assert renormalize(pixels, a, a) is pixels


def test_bfloat16_labels_are_near_float32():
    network, batch = small_network(), batches()[0]
    fast = refined_labels(Refiner([network], bf16=True), VIEW, ROWS, bn_group=16)(batch)
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast, refined(network)(batch), atol=0.02, rtol=0)
