"""Which default boxes stand for which objects, against brute force."""

import numpy as np
import pytest
import torch
from torchvision.models.detection._utils import SSDMatcher
from torchvision.ops import box_iou

from tinyrefinery.data.batches import Batch
from tinyrefinery.detection.matching import MatchedBoxes, match


def random_boxes(rng, count, side=100.0):
    corners = rng.uniform(0, side * 0.8, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(5, side * 0.4, (count, 2))], 1)


def iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def brute_force(given, default, threshold):
    """SSD's rule, step by step."""
    table = np.array([[iou(g, d) for d in default] for g in given])
    owner = [-1] * len(default)
    for box in range(len(default)):
        best = max(range(len(given)), key=lambda g: table[g, box])
        if table[best, box] >= threshold:
            owner[box] = best
    free_objects, free_boxes = set(range(len(given))), set(range(len(default)))
    while free_objects and free_boxes:
        pairs = [(table[g, d], -g, -d) for g in free_objects for d in free_boxes]
        _, g, d = max(pairs)
        owner[-d] = -g
        free_objects.discard(-g)
        free_boxes.discard(-d)
    return owner


@pytest.mark.parametrize("seed", range(20))
def test_it_is_brute_forces(seed):
    rng = np.random.default_rng(seed)
    given, default = random_boxes(rng, rng.integers(1, 8)), random_boxes(rng, 40)
    overlaps = torch.tensor([[iou(g, d) for d in default] for g in given])
    assert match(overlaps, 0.5).tolist() == brute_force(given, default, 0.5)
    torch.testing.assert_close(overlaps, box_iou(torch.tensor(given), torch.tensor(default)))


def test_it_is_torchvisions_where_no_two_objects_want_one_box():
    compared = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        given = torch.tensor(random_boxes(rng, 4))
        overlaps = box_iou(given, torch.tensor(random_boxes(rng, 60)))
        if len(set(overlaps.argmax(dim=1).tolist())) == 4:
            assert torch.equal(match(overlaps, 0.4), SSDMatcher(0.4)(overlaps))
            compared += 1
    assert compared > 20


def test_two_objects_never_share_a_box():
    overlaps = torch.tensor([[0.9, 0.3, 0.0], [0.8, 0.2, 0.1]])
    assert match(overlaps, 0.5).tolist() == [0, 1, -1]


def test_without_objects_nothing_matches():
    assert match(torch.zeros(0, 5), 0.5).tolist() == [-1] * 5


def test_more_objects_than_boxes():
    overlaps = torch.tensor([[0.1, 0.2], [0.3, 0.1], [0.0, 0.0]])
    assert match(overlaps, 0.5).tolist() == [1, 0]


def test_targets_have_the_papers_offsets():
    """SSD, equation 2, with the variances of its code."""
    default = torch.tensor([[0.0, 0, 20, 40], [50, 50, 90, 90], [60, 0, 80, 20]])
    given = torch.tensor([[[2.0, 4, 26, 36, 3], [0, 0, 0, 0, 0]], [[0.0] * 5, [0.0] * 5]])
    batch = Batch(torch.zeros(2, 3, 1, 1), given, np.arange(2), 0, None)  # type: ignore[arg-type]
    targets = MatchedBoxes(default, 0.5)(batch)
    expected = [(14 - 10) / 20 / 0.1, (20 - 20) / 40 / 0.1]
    expected += [np.log(24 / 20) / 0.2, np.log(32 / 40) / 0.2]
    np.testing.assert_allclose(targets[0, 0, 1:].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert targets[0, :, 0].tolist() == [3, 0, 0]
    assert (targets[0, 1:] == 0).all()
    assert (targets[1] == 0).all()
