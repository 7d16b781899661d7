"""Saliency against brute force, against a linear network, and where it must fail."""

import numpy as np
import pytest
import torch
from torch import nn

from tinyrefinery import models
from tinyrefinery.errors import DataError, RefineryError
from tinyrefinery.saliency.maps import corners, gradients, occlusion


def linear(size: tuple[int, int]) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size[0] * size[1], 4)).double()


def probabilities(network: nn.Module):
    return lambda images: network(images).softmax(dim=1)


def brute_force(
    weights: np.ndarray, bias: np.ndarray, image: np.ndarray, wanted: int, w: int, s: int
):
    """Each pixel's mean drop, by loops over patches and pixels in float64."""

    def p(pixels: np.ndarray) -> float:
        z = weights @ pixels.reshape(-1) + bias
        e = np.exp(z - z.max())
        return e[wanted] / e.sum()

    _, h, wd = image.shape
    tops = sorted({min(t, h - w) for t in range(0, h, s)})
    lefts = sorted({min(t, wd - w) for t in range(0, wd, s)})
    total, count = np.zeros((h, wd)), np.zeros((h, wd))
    for top in tops:
        for left in lefts:
            hidden = image.copy()
            hidden[:, top : top + w, left : left + w] = 0
            drop = p(image) - p(hidden)
            for y in range(top, top + w):
                for x in range(left, left + w):
                    total[y, x] += drop
                    count[y, x] += 1
    return total / count


@pytest.mark.parametrize(
    ("size", "window", "stride"), [((7, 9), 3, 2), ((8, 8), 4, 3), ((5, 5), 5, 1)]
)
def test_occlusion_is_the_mean_drop_over_the_patches_that_hide_a_pixel(size, window, stride):
    network = linear(size)
    images = torch.randn(3, 3, *size, dtype=torch.float64)
    wanted = [2, 0, 3]
    found = occlusion(
        probabilities(network), images, wanted, window=window, stride=stride, batch_size=5
    )
    weights, bias = (each.detach().numpy() for each in network[1].parameters())
    for heat, image, k in zip(found, images.numpy(), wanted, strict=True):
        np.testing.assert_allclose(
            heat, brute_force(weights, bias, image, k, window, stride), atol=1e-12
        )


def test_patches_cover_every_pixel_and_stay_inside():
    places = corners((10, 7), 4, 4)
    assert sorted(map(tuple, places)) == [(t, n) for t in (0, 4, 6) for n in (0, 3)]
    assert len(corners((4, 4), 4, 1)) == 1


def test_no_more_than_a_batch_is_asked_at_once():
    """Patches of a pixel are as many as pixels: they must not all lie in memory."""
    asked = []

    def predict(crops: torch.Tensor) -> torch.Tensor:
        asked.append(len(crops))
        return crops.flatten(1)[:, :2].softmax(dim=1)

    occlusion(predict, torch.rand(1, 1, 12, 12), [0], window=1, stride=1, batch_size=50)
    assert sum(asked) == 1 + 144
    assert max(asked) == 50


def test_occlusion_finds_the_only_pixels_that_matter():
    """A network that looks at the top left corner alone."""
    images = torch.rand(2, 1, 12, 12) + 1

    def corner(crops: torch.Tensor) -> torch.Tensor:
        logit = crops[:, 0, :3, :3].mean(dim=(1, 2))
        return torch.stack([logit, -logit], dim=1).softmax(dim=1)

    heat = occlusion(corner, images, [0, 1], window=3, stride=3)
    assert (heat[0, :3, :3] > 0.1).all()
    assert (heat[1, :3, :3] < -0.1).all()
    assert np.abs(heat[:, 3:]).max() == np.abs(heat[:, :, 3:]).max() == 0


def test_fill_is_what_stands_in_a_hidden_patch():
    network, images = linear((6, 6)), torch.full((1, 3, 6, 6), 0.5, dtype=torch.float64)
    heat = occlusion(probabilities(network), images, [0], window=2, fill=0.5)
    assert np.abs(heat).max() < 1e-12


def test_integrated_gradients_of_a_linear_network_are_input_times_weight():
    network = linear((6, 6))
    images = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    weights = network[1].weight.detach().reshape(4, 3, 6, 6)
    expected = (images * weights[[1, 3]]).sum(dim=1).numpy()
    for method in ("integrated_gradients", "input_x_gradient"):
        np.testing.assert_allclose(gradients(network, images, [1, 3], method), expected, atol=1e-9)
    absolute = weights[[1, 3]].abs().sum(dim=1).numpy()
    np.testing.assert_allclose(gradients(network, images, [1, 3], "gradient"), absolute, atol=1e-9)


def test_integrated_gradients_sum_to_the_change_of_the_logit():
    torch.manual_seed(0)
    network = models.create("resnet8", 5, size=16).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        change = network(images)[[0, 1], [4, 2]] - network(torch.zeros(1, 3, 16, 16))[0, [4, 2]]
    found = gradients(network, images, [4, 2]).sum(axis=(1, 2))
    np.testing.assert_allclose(found, change.numpy(), atol=0.02, rtol=0.05)
    assert all(each.grad is None for each in network.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 9}, "doesn't fit"),
        ({"window": 0}, "doesn't fit"),
        ({"window": 2, "stride": 3}, "leaves gaps"),
        ({"window": 2, "stride": 0}, "leaves gaps"),
    ],
)
def test_patches_that_will_not_do_are_told(options, words):
    with pytest.raises(DataError, match=words):
        occlusion(probabilities(linear((8, 8))), torch.zeros(1, 3, 8, 8).double(), [0], **options)


def test_one_class_an_image():
    network, images = linear((4, 4)), torch.zeros(2, 3, 4, 4).double()
    for ask in (
        lambda: occlusion(probabilities(network), images, [0]),
        lambda: gradients(network, images, [0]),
    ):
        with pytest.raises(DataError, match="2 images need one class each"):
            ask()


def test_captum_missing_is_told(monkeypatch):
    monkeypatch.setattr("tinyrefinery.saliency.maps.find_spec", lambda _: None)
    with pytest.raises(RefineryError, match="tinyrefinery\\[explain\\]"):
        gradients(linear((4, 4)), torch.zeros(1, 3, 4, 4).double(), [0])


def test_no_images_no_maps():
    assert occlusion(probabilities(linear((4, 4))), torch.zeros(0, 3, 4, 4), []).shape == (0, 4, 4)
