"""Crop draws: their distribution against torchvision's, and that they belong to the sample."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from tinyrefinery import random
from tinyrefinery.data.augmentation import draw
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Augment, Center, Color, Inception, Pad


def sizes(n, height=48, width=80):
    return np.tile([height, width], (n, 1))


def test_inception_boxes_have_torchvisions_distribution():
    n, crop = 4000, Inception(size=32)
    ours = draw(crop, 0, 0, np.arange(n), sizes(n)).boxes
    image = torch.zeros(1, 48, 80)
    torch.manual_seed(0)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(n)]
    )
    # Mean and spread of top, left, height, width agree within five standard errors.
    error = 5 * theirs.std(axis=0) / np.sqrt(n) * np.sqrt(2)
    assert (abs(ours.mean(axis=0) - theirs.mean(axis=0)) < error).all()
    assert np.allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.06)


def test_inception_boxes_lie_inside_and_are_whole_pixels():
    boxes = draw(Inception(size=8), 1, 4, np.arange(3000), sizes(3000)).boxes
    assert (boxes == np.rint(boxes)).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= 48).all()
    assert (boxes[:, 1] + boxes[:, 3] <= 80).all()
    share = boxes[:, 2] * boxes[:, 3] / (48 * 80)
    assert 0.07 < share.min() < 0.1
    assert share.max() <= 1


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 80), (60, 20), (9, 9)])
def test_inception_takes_the_first_try_that_fits(height, width):
    rows = np.arange(500)
    draws = random.uniform(7, "crop", 2, rows, 22)
    boxes = draw(Inception(size=8), 7, 2, rows, sizes(500, height, width)).boxes
    tries_taken = []
    for each, box in zip(draws, boxes, strict=True):
        for number in range(10):
            area = height * width * (0.08 + each[number] * 0.92)
            ratio = math.exp(math.log(3 / 4) + each[10 + number] * math.log(16 / 9))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top, left = int(each[20] * (height - h + 1)), int(each[21] * (width - w + 1))
                assert tuple(box) == (top, left, h, w)
                tries_taken.append(number)
                break
    assert len(tries_taken) > 450
    assert max(tries_taken) > 1


@pytest.mark.parametrize(("height", "width"), [(4, 400), (400, 4), (10, 10)])
def test_inception_falls_back_to_the_center(height, width):
    # No box of the whole area with such an aspect fits; torchvision then cuts the middle.
    crop = Inception(size=8, area=(1.0, 1.0), aspect=(3 / 4, 4 / 3))
    box = draw(crop, 0, 0, np.arange(1), np.array([[height, width]])).boxes[0]
    image = torch.zeros(1, height, width)
    theirs = RandomResizedCrop.get_params(image, [1.0, 1.0], [3 / 4, 4 / 3])
    if height != width:  # the square one may fit a box of its own
        assert tuple(box) == tuple(map(float, theirs))


def test_padded_crops_reach_every_place_equally():
    crop = Pad(size=32, padding=2)
    boxes = draw(crop, 0, 0, np.arange(5000), sizes(5000, 32, 32)).boxes
    places, counts = np.unique(boxes[:, :2], axis=0, return_counts=True)
    assert len(places) == 25
    assert places.min() == -2
    assert places.max() == 2
    assert counts.min() > 120  # 200 expected


def test_padded_crop_larger_than_the_image_is_refused():
    with pytest.raises(DataError, match="40x40 pixels does not fit into an image of 30x28"):
        draw(Pad(size=40, padding=4), 0, 0, np.arange(1), np.array([[30, 28]]))


def test_center_follows_torchvision():
    crop = Center(size=224, resize=256)
    crops = draw(crop, 0, 0, np.arange(1), np.array([[375, 500]]))
    assert crops.resized is not None
    assert crops.resized[0].tolist() == [256, 341]
    assert crops.boxes[0].tolist() == [16, 58, 224, 224]  # round(58.5) is 58, as Python rounds


def test_center_covers_by_default():
    crops = draw(Center(size=32), 0, 0, np.arange(2), np.array([[32, 48], [64, 64]]))
    assert crops.resized is not None
    assert crops.resized.tolist() == [[32, 48], [32, 32]]
    assert crops.boxes.tolist() == [[0, 8, 32, 32], [0, 0, 32, 32]]


def test_draws_do_not_depend_on_company():
    color = Color(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    crop, augment = Inception(size=8), Augment(flip=0.5, rotate=10, color=color)
    together = draw(crop, 3, 7, np.arange(100), sizes(100), augment)
    alone = draw(crop, 3, 7, np.array([42]), sizes(1), augment)
    for name in ("boxes", "flip", "angle", "color"):
        np.testing.assert_array_equal(getattr(together, name)[42], getattr(alone, name)[0])


def test_ranges():
    color = Color(brightness=0.4, contrast=1.5, hue=0.1)
    augment = Augment(flip=0.25, rotate=10, color=color)
    crops = draw(Center(size=8), 0, 0, np.arange(4000), sizes(4000), augment)
    assert abs(crops.flip.mean() - 0.25) < 0.03
    assert crops.angle is not None
    assert 9.9 < abs(crops.angle).max() <= 10
    assert crops.color is not None
    low, high = crops.color.min(axis=0), crops.color.max(axis=0)
    np.testing.assert_allclose(low, [0.6, 0.0, 1.0, -0.1], atol=0.01)
    np.testing.assert_allclose(high, [1.4, 2.5, 1.0, 0.1], atol=0.01)
