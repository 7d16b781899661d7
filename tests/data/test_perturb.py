"""Perturbations against plain formulas and other libraries."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as reference

from tinyrefinery.data.perturb import perturb
from tinyrefinery.options.perturbation import Perturbation

IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 3, 12, 16)).astype(np.float32)
IDS = ["a", "b", "c"]


def changed(images=IMAGES, ids=IDS, **how):
    return perturb(images, ids, Perturbation(**how))


def test_nothing_changes_nothing():
    assert np.array_equal(changed(gain=1.0), IMAGES)
    assert np.array_equal(changed(shift=(0, 0)), IMAGES)
    assert changed(gain=0.5).dtype == np.float32


def test_gain():
    assert np.allclose(changed(gain=0.5), IMAGES / 2)
    assert np.allclose(changed(gain=2.0), np.minimum(2 * IMAGES, 255))


def test_blur_is_torchvisions():
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))  # they treat edges otherwise
    expected = reference.gaussian_blur(torch.from_numpy(IMAGES), [9, 9], [1.0, 1.0]).numpy()
    assert np.allclose(changed(blur=1.0)[inner], expected[inner], atol=0.05)


@pytest.mark.parametrize("shift", [(2, 0), (0, 3), (-1, -2), (100, 0)])
def test_shift_moves_pixels_and_repeats_the_edge(shift):
    found = changed(shift=shift)
    for y, x in np.ndindex(12, 16):
        from_y, from_x = np.clip(y - shift[0], 0, 11), np.clip(x - shift[1], 0, 15)
        assert np.array_equal(found[:, :, y, x], IMAGES[:, :, from_y, from_x])


def test_noise_is_of_the_image_and_as_strong_as_asked():
    grey = np.full((2, 1, 100, 100), 128, np.float32)
    found = changed(grey, ["a", "b"], noise=0.1)
    assert found.std() == pytest.approx(25.5, rel=0.03)
    assert found.mean() == pytest.approx(128, abs=1)
    assert np.array_equal(changed(grey[:1], ["b"], noise=0.1)[0], found[1])
    assert not np.array_equal(found[0], found[1])
    assert changed(noise=3.0).min() >= 0
    assert changed(noise=3.0).max() <= 255


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels):
    image = IMAGES[:1, :channels]
    pixels = np.rint(image[0]).astype(np.uint8).transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(buffer, "JPEG", quality=30)
    expected = np.asarray(Image.open(buffer)).reshape(12, 16, channels)
    found = changed(image, ["a"], jpeg=30)
    assert np.array_equal(found[0].transpose(1, 2, 0), expected)


def test_several_in_the_order_of_a_camera():
    both = changed(gain=0.5, jpeg=50)
    assert np.array_equal(both, changed(changed(gain=0.5), jpeg=50))


def test_names():
    how = Perturbation(gain=0.5, shift=(1, -2), jpeg=40)
    assert how.named() == "gain 0.5, shift 1/-2, jpeg 40"
