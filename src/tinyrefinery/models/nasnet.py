"""NASNet-A (Zoph et al. 2018, Figure 4): two cells that were found by search, and repeated.

Without scheduled drop path. The cells are those of the paper's code, as are timm's, but that maps
are padded evenly where TensorFlow pads more at their end.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinyrefinery.layers.depthwise import DepthwiseConv2d
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small

_EPSILON = 1e-3  # of batch normalization, as the paper's code has it


class NASNet(nn.Module):
    """Three rows of normal cells, a reduction cell between each, pooling, linear layer.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        repeats: normal cells in a row, the paper's N.
        filters: of a branch in the first row; doubled by each reduction. The paper names a network
            by the channels of its last map, 24 times as many.
        stem: `imagenet` begins with a convolution of stride 2 and two reduction cells, hence 1/32
            of the resolution in the end; `small` with a convolution of stride 1 to as many
            channels as `filters`, hence a quarter.
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
        before, now, halve = first, first, False
        for reduces, width in _plan(filters, repeats, small=small):
            kind = _Reduction if reduces else _Normal
            cell = kind(_fit(before, width, halve=halve, raw=not self.cells), before, now, width)
            self.cells.append(cell)
            before, now, halve = now, cell.channels, reduces
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(now, classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last cell after its ReLU, (B, 24 filters, h, w)."""
        now = before = self.stem(x)
        for cell in self.cells:
            before, now = now, cell(before, now)
        return F.relu(now)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(features.mean((2, 3))))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images."""
        return self.forward_head(self.forward_features(x))


nasnet_a = partial(NASNet, repeats=4, filters=44)
"""NASNet-A (4 @ 1056): 5.290 million parameters at 1,000 classes with ImageNet's stem."""


def _plan(filters: int, repeats: int, *, small: bool) -> list[tuple[bool, int]]:
    """Of each cell, whether it halves the map, and its filters."""
    plan = [] if small else [(True, filters // 4), (True, filters // 2)]
    for row in range(3):
        plan += [(True, filters * 2**row)] * (row > 0)
        plan += [(False, filters * 2**row)] * repeats
    return plan


class _Normal(nn.Module):
    """Figure 4, left: (before, now) to 6 `width` channels of the size of `now`."""

    def __init__(self, fit: nn.Module, before: int, now: int, width: int) -> None:
        super().__init__()
        self.channels = 6 * width
        self.fit = fit
        self.narrow = _pointwise(now, width)
        self.five_now = _separable(width, width, 5)
        self.three_before = _separable(width, width, 3)
        self.five_before = _separable(width, width, 5)
        self.three_before_again = _separable(width, width, 3)
        self.three_now = _separable(width, width, 3)
        self.mean = _mean(1)

    def forward(self, before: Tensor, now: Tensor) -> Tensor:
        """Five sums of two branches and `before` itself, joined: (B, 6 width, h, w)."""
        before, now = self.fit(before), self.narrow(now)
        return torch.cat(
            [
                before,
                self.five_now(now) + self.three_before(before),
                self.five_before(before) + self.three_before_again(before),
                self.mean(now) + before,
                2 * self.mean(before),
                self.three_now(now) + now,
            ],
            dim=1,
        )


class _Reduction(nn.Module):
    """Figure 4, right: (before, now) to 4 `width` channels of half the size of `now`."""

    def __init__(self, fit: nn.Module, before: int, now: int, width: int) -> None:
        super().__init__()
        self.channels = 4 * width
        self.fit = fit
        self.narrow = _pointwise(now, width)
        fitted = before if isinstance(fit, nn.Identity) else width
        self.five_now = _separable(width, width, 5, stride=2)
        self.seven_before = _separable(fitted, width, 7, stride=2)
        self.seven_before_again = _separable(fitted, width, 7, stride=2)
        self.five_before = _separable(fitted, width, 5, stride=2)
        self.three = _separable(width, width, 3)
        self.greatest = nn.MaxPool2d(3, stride=2, padding=1)
        self.halving_mean, self.mean = _mean(2), _mean(1)

    def forward(self, before: Tensor, now: Tensor) -> Tensor:
        """Four sums of two branches, joined: (B, 4 width, h / 2, w / 2), rounded up."""
        before, now = self.fit(before), self.narrow(now)
        inner = self.five_now(now) + self.seven_before(before)
        greatest = self.greatest(now)
        one = greatest + self.seven_before_again(before)
        two = self.halving_mean(now) + self.five_before(before)
        return torch.cat([one, two, self.mean(inner) + one, self.three(inner) + greatest], dim=1)


class _Halve(nn.Module):
    """Half the size without losing every other pixel: two 1x1 convolutions, one pixel apart."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.here = nn.Conv2d(channels, width // 2, 1, stride=2, bias=False)
        self.beside = nn.Conv2d(channels, width // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(2 * (width // 2), eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h / 2, w / 2) after ReLU and normalization, rounded up; width is even."""
        x = F.relu(x)
        shifted = F.pad(x, (-1, 1, -1, 1))
        return self.norm(torch.cat([self.here(x), self.beside(shifted)], dim=1))


def _fit(channels: int, width: int, *, halve: bool, raw: bool) -> nn.Module:
    """Brings the map before the current one to a branch's width and to the current one's size.

    The first cell, whose two inputs are one, takes it raw, as does any where nothing differs.
    """
    if halve:
        return _Halve(channels, width)
    return nn.Identity() if raw or channels == width else _pointwise(channels, width)


def _pointwise(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, width, 1, bias=False),
        nn.BatchNorm2d(width, eps=_EPSILON),
    )


def _separable(channels: int, width: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    """ReLU, depthwise and 1x1 convolution, normalization; twice."""
    layers: list[nn.Module] = []
    for inside, step in ((channels, stride), (width, 1)):
        layers += [
            nn.ReLU(),
            DepthwiseConv2d(inside, kernel=kernel, stride=step),
            nn.Conv2d(inside, width, 1, bias=False),
            nn.BatchNorm2d(width, eps=_EPSILON),
        ]
    return nn.Sequential(*layers)


def _mean(stride: int) -> nn.AvgPool2d:
    return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)
