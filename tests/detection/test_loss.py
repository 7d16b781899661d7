"""SSD's loss, against NumPy in float64 and against torchvision."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.models.detection.ssd import SSD

from tinyrefinery.detection.loss import matched_right, multibox
from tinyrefinery.detection.matching import CODER


def example(seed, batch=3, boxes=40, classes=4, share=0.15):
    rng = np.random.default_rng(seed)
    outputs = rng.normal(0, 2, (batch, boxes, 4 + classes))
    labels = rng.integers(1, classes, (batch, boxes)) * (rng.random((batch, boxes)) < share)
    targets = rng.normal(0, 1.5, (batch, boxes, 5)) * (labels > 0)[..., None]
    targets[..., 0] = labels
    return torch.tensor(outputs), torch.tensor(targets)


def reference(outputs, targets, negatives=3.0, least=0):
    """The same step by step."""
    outputs, targets = outputs.numpy().astype(np.float64), targets.numpy().astype(np.float64)
    total, matched = 0.0, 0
    for image, target in zip(outputs, targets, strict=True):
        logits = image[:, 4:]
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        classes = target[:, 0].astype(int)
        each = -log_p[np.arange(len(classes)), classes]
        total += each[classes > 0].sum()
        wanted = max(int(negatives * (classes > 0).sum()), least)
        total += np.sort(each[classes == 0])[::-1][:wanted].sum()
        difference = np.abs(image[:, :4] - target[:, 1:])[classes > 0]
        total += np.where(difference < 1, difference**2 / 2, difference - 0.5).sum()
        matched += (classes > 0).sum()
    return total / max(1, matched)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("negatives", "least"), [(3, 0), (3, 5), (1.5, 0), (100, 0), (0, 0)])
def test_it_is_the_reference(seed, negatives, least):
    outputs, targets = example(seed)
    found = multibox(outputs, targets, negatives=negatives, least_negatives=least)
    assert float(found) == pytest.approx(reference(outputs, targets, negatives, least), rel=1e-5)


@pytest.mark.parametrize("share", [0.15, 0.0, 0.05])
def test_it_is_torchvisions(share):
    """While there are enough negatives: else torchvision counts matched boxes twice."""
    outputs, targets = example(1, share=share)
    outputs, targets = outputs.float(), targets.float()
    default = torch.tensor([[10.0, 10, 30, 40]]).repeat(outputs.shape[1], 1)
    matched = [torch.where(t[:, 0] > 0, torch.arange(len(t)), -1) for t in targets]
    given = [
        {"boxes": CODER.decode_single(t[:, 1:], default), "labels": t[:, 0].long()} for t in targets
    ]
    ssd = SimpleNamespace(box_coder=CODER, neg_to_pos_ratio=3.0)
    heads = {"bbox_regression": outputs[..., :4], "cls_logits": outputs[..., 4:]}
    theirs = SSD.compute_loss(ssd, given, heads, [default] * len(targets), matched)
    expected = float(theirs["bbox_regression"] + theirs["classification"])
    assert float(multibox(outputs, targets)) == pytest.approx(expected, rel=1e-5)


def test_an_image_without_objects_teaches_if_it_is_let():
    outputs, targets = example(2, batch=1, share=0)
    assert float(multibox(outputs, targets)) == 0
    outputs.requires_grad_(True)
    multibox(outputs, targets, least_negatives=3).backward()
    assert (outputs.grad.abs().sum(dim=2) > 0).sum() == 3


def test_gradients_are_those_of_the_counted_boxes():
    outputs, targets = example(3)
    outputs.requires_grad_(True)
    multibox(outputs, targets).backward()
    moved = outputs.grad.abs().sum(dim=2) > 0
    matched = targets[..., 0] > 0
    assert moved[matched].all()
    assert (moved.sum(dim=1) == 4 * matched.sum(dim=1)).all()
    assert (outputs.grad[~matched][:, :4] == 0).all()


def test_what_is_right():
    outputs = torch.zeros(3, 4, 7)
    outputs[..., 4] = 1  # all background
    targets = torch.zeros(3, 4, 5)
    targets[0, :2, 0] = torch.tensor([1.0, 2.0])
    outputs[0, 0, 5] = 2
    targets[1, 0, 0] = 1
    assert float(matched_right(outputs, targets, targets)) == pytest.approx(0.5 + 0 + 1)
