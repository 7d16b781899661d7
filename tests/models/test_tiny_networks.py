"""Networks for tens of kilobytes: parameters counted by hand, and shapes."""

import pytest
import torch

from tinyrefinery.errors import RecipeError
from tinyrefinery.evaluation.cost import macs, parameters
from tinyrefinery.models import create


def convolution(kernel, inputs, outputs, groups=1):
    """Weights of a convolution without bias, and gain and shift of its batch normalization."""
    return kernel * kernel * inputs * outputs // groups + 2 * outputs


def test_ds_cnn():
    expected = convolution(3, 3, 20)
    expected += 5 * (convolution(3, 20, 20, groups=20) + convolution(1, 20, 20))
    expected += 20 * 4 + 4
    network = create("ds_cnn", 4, size=64, width=20, blocks=5, stem="imagenet")
    assert parameters(network) == expected
    assert network.forward_features(torch.zeros(2, 3, 64, 64)).shape == (2, 20, 8, 8)


def test_mobilenet_tiny():
    expected = convolution(3, 1, 16) + convolution(3, 16, 16, groups=16) + convolution(1, 16, 24)
    for inputs, outputs in ((24, 24), (24, 48), (48, 96)):
        for before in (inputs, outputs):  # two blocks in each stage
            wide = 4 * before
            expected += convolution(1, before, wide) + convolution(3, wide, wide, groups=wide)
            expected += convolution(1, wide, outputs)
    expected += 96 * 7 + 7
    network = create("mobilenet_tiny", 7, size=96, channels=1)
    assert parameters(network) == expected
    assert network.forward_features(torch.zeros(2, 1, 96, 96)).shape == (2, 96, 6, 6)


def test_resnet8_with_a_stem_of_stride_two():
    """At twice the side it does the same work as the published one, but for the stem's input."""
    half, published = (create("resnet8", 10, size=32, stem=stem) for stem in ("half", "small"))
    assert parameters(half) == parameters(published)
    assert macs(half, 3, (64, 64)) == macs(published, 3, (32, 32))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ds_cnn", {"halvings": 9}),
        ("ds_cnn", {"width": 0}),
        ("mobilenet_tiny", {"width": 0}),
        ("mobilenet_tiny", {"depth": 0}),
        ("resnet8", {"stem": "third"}),
    ],
)
def test_wrong_options(name, options):
    with pytest.raises(RecipeError):
        create(name, 10, size=32, **options)
