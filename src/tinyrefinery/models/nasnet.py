"""NASNet-A (Zoph et al. 2018, Figure 4): two cells, found by architecture search and repeated.

Without scheduled drop path. The cells are those of the paper's code and of timm, except for the
padding: it is the same on both sides, while TensorFlow pads more at the end.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinyrefinery.layers.depthwise import DepthwiseConv2d
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork

_EPSILON = 1e-3  # of batch normalization, from the paper's code


class NASNet(ImageNetwork):
    """Three rows of normal cells, with reduction cells between them, pooling, linear layer.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        repeats: normal cells per row, the paper's N.
        filters: channels of a branch in the first row; doubled by each reduction. The last map has
            24 times as many, the number in the paper's names.
        stem: `imagenet` starts with a convolution of stride 2 and two reduction cells, so the last
            map has 1/32 of the resolution; `small` with a convolution of stride 1 to `filters`
            channels, so 1/4.
        dropout: share of pooled features set to zero in training.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        repeats: int = 4,
        filters: int = 44,
        stem: Stem = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        small = is_small(stem, size)
        first = filters if small else 32
        self.stem = nn.Sequential(
            nn.Conv2d(channels, first, 3, 1 if small else 2, padding=int(small), bias=False),
            nn.BatchNorm2d(first, eps=_EPSILON),
        )
        self.cells = nn.ModuleList()
        previous, current, halve = first, first, False
        for reduces, width in _plan(filters, repeats, small=small):
            kind = _Reduction if reduces else _Normal
            fit = _fit(previous, width, halve=halve, is_first=not self.cells)
            cell = kind(fit, previous, current, width)
            self.cells.append(cell)
            previous, current, halve = current, cell.channels, reduces
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(current, classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last cell after its ReLU, (B, 24 filters, h, w)."""
        current = previous = self.stem(x)
        for cell in self.cells:
            previous, current = current, cell(previous, current)
        return F.relu(current)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(features.mean((2, 3))))


nasnet_a = partial(NASNet, repeats=4, filters=44)
"""NASNet-A (4 @ 1056): 5.290 million parameters at 1,000 classes with ImageNet's stem."""


def _plan(filters: int, repeats: int, *, small: bool) -> list[tuple[bool, int]]:
    """For each cell: whether it halves the map, and its filters."""
    plan = [] if small else [(True, filters // 4), (True, filters // 2)]
    for row in range(3):
        plan += [(True, filters * 2**row)] * (row > 0)
        plan += [(False, filters * 2**row)] * repeats
    return plan


class _Normal(nn.Module):
    """Figure 4, left: previous and current map to 6 `width` channels at the current size."""

    def __init__(self, fit: nn.Module, previous: int, current: int, width: int) -> None:
        super().__init__()
        self.channels = 6 * width
        self.fit = fit
        self.narrow = _pointwise(current, width)
        self.current_5x5 = _separable(width, width, 5)
        self.previous_3x3 = _separable(width, width, 3)
        self.previous_5x5 = _separable(width, width, 5)
        self.previous_3x3_b = _separable(width, width, 3)
        self.current_3x3 = _separable(width, width, 3)
        self.mean = _mean(1)

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """Concatenate `previous` and five sums of two branches: (B, 6 width, h, w)."""
        previous, current = self.fit(previous), self.narrow(current)
        return torch.cat(
            [
                previous,
                self.current_5x5(current) + self.previous_3x3(previous),
                self.previous_5x5(previous) + self.previous_3x3_b(previous),
                self.mean(current) + previous,
                2 * self.mean(previous),
                self.current_3x3(current) + current,
            ],
            dim=1,
        )


class _Reduction(nn.Module):
    """Figure 4, right: previous and current map to 4 `width` channels at half the current size."""

    def __init__(self, fit: nn.Module, previous: int, current: int, width: int) -> None:
        super().__init__()
        self.channels = 4 * width
        self.fit = fit
        self.narrow = _pointwise(current, width)
        inputs = previous if isinstance(fit, nn.Identity) else width
        self.current_5x5 = _separable(width, width, 5, stride=2)
        self.previous_7x7 = _separable(inputs, width, 7, stride=2)
        self.previous_7x7_b = _separable(inputs, width, 7, stride=2)
        self.previous_5x5 = _separable(inputs, width, 5, stride=2)
        self.inner_3x3 = _separable(width, width, 3)
        self.max = nn.MaxPool2d(3, stride=2, padding=1)
        self.halving_mean, self.mean = _mean(2), _mean(1)

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """Concatenate four sums of two branches: (B, 4 width, h / 2, w / 2), rounded up."""
        previous, current = self.fit(previous), self.narrow(current)
        inner = self.current_5x5(current) + self.previous_7x7(previous)
        maxima = self.max(current)
        first = maxima + self.previous_7x7_b(previous)
        second = self.halving_mean(current) + self.previous_5x5(previous)
        sums = [first, second, self.mean(inner) + first, self.inner_3x3(inner) + maxima]
        return torch.cat(sums, dim=1)


class _Halve(nn.Module):
    """Halve the size and keep all pixels: two 1x1 convolutions, one pixel apart."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(channels, width // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(channels, width // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(2 * (width // 2), eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, width, h / 2, w / 2), rounded up; `width` is even."""
        x = F.relu(x)
        shifted = F.pad(x, (-1, 1, -1, 1))
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


def _fit(channels: int, width: int, *, halve: bool, is_first: bool) -> nn.Module:
    """Bring the previous map to the width of a branch and the size of the current map.

    In the first cell both maps are the same, so the previous one needs no change.
    """
    if halve:
        return _Halve(channels, width)
    return nn.Identity() if is_first or channels == width else _pointwise(channels, width)


def _pointwise(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, width, 1, bias=False),
        nn.BatchNorm2d(width, eps=_EPSILON),
    )


def _separable(channels: int, width: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    """Twice: ReLU, depthwise convolution, 1x1 convolution, normalization."""
    layers: list[nn.Module] = []
    for inputs, step in ((channels, stride), (width, 1)):
        layers += [
            nn.ReLU(),
            DepthwiseConv2d(inputs, kernel=kernel, stride=step),
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width, eps=_EPSILON),
        ]
    return nn.Sequential(*layers)


def _mean(stride: int) -> nn.AvgPool2d:
    return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)
