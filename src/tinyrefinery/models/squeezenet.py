"""SqueezeNet 1.0 (Iandola et al. 2016, Table 1), optionally with normalization and bypass."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork

# Table 1: squeeze channels and output channels of fire2 to fire9.
_FIRES = (
    *((16, 128), (16, 128), (32, 256), (32, 256)),
    *((48, 384), (48, 384), (64, 512), (64, 512)),
)
_POOL_AFTER = (2, 6)  # fire4 and fire8
_BYPASS = (1, 3, 5)  # fire3, fire5 and fire7, as in the CIFAR-100 zoo; the paper has fire9 too


class SqueezeNet(ImageNetwork):
    """A convolution, eight fire modules with max-pools between them, a 1x1 convolution, pooling.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        stem: `imagenet` starts with a 7x7 convolution of stride 2, so the last map has 1/16 of the
            resolution; `small` with a 3x3 convolution of stride 1, so 1/8.
        batch_norm: normalize after each convolution except the last, as in the CIFAR-100 zoo
            (pytorch-cifar100). The paper has no normalization.
        bypass: add the inputs of fire3, fire5 and fire7 to their outputs (Figure 2, middle).
        dropout: share of the last map's elements set to zero in training; .5 in the paper.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        stem: Stem = "auto",
        batch_norm: bool = True,
        bypass: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        small = is_small(stem, size)
        first = nn.Conv2d(channels, 96, 3, padding=1) if small else nn.Conv2d(channels, 96, 7, 2)
        self.stem = nn.Sequential(first, *_activation(96, batch_norm), _pool(small=small))
        self.fires = nn.Sequential()
        inputs = 96
        for index, (squeeze, outputs) in enumerate(_FIRES):
            has_bypass = bypass and index in _BYPASS
            self.fires.append(_Fire(inputs, squeeze, outputs, batch_norm, bypass=has_bypass))
            inputs = outputs
        self.pool = _pool(small=small)
        self.dropout = nn.Dropout(dropout)
        self.conv10 = nn.Conv2d(inputs, classes, 1)
        self.last_relu = not batch_norm
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of fire9, (B, 512, h, w)."""
        x = self.stem(x)
        for index, fire in enumerate(self.fires):
            x = fire(x)
            x = self.pool(x) if index in _POOL_AFTER else x
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps: class scores at each position, then averaged.

        The paper has a ReLU in between. With `batch_norm` there is none, as in the zoo.
        """
        maps = self.conv10(self.dropout(features))  # (B, K, h, w)
        return (maps.relu() if self.last_relu else maps).mean((2, 3))


class _Fire(nn.Module):
    """A few 1x1 filters, then 1x1 and 3x3 filters in parallel, half the channels each."""

    def __init__(
        self, channels: int, squeeze: int, width: int, batch_norm: bool, *, bypass: bool
    ) -> None:
        super().__init__()
        half = width // 2
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, squeeze, 1), *_activation(squeeze, batch_norm)
        )
        self.expand1 = nn.Sequential(nn.Conv2d(squeeze, half, 1), *_activation(half, batch_norm))
        self.expand3 = nn.Sequential(
            nn.Conv2d(squeeze, half, 3, padding=1), *_activation(half, batch_norm)
        )
        self.bypass = bypass

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, width, h, w), the 1x1 filters' channels first."""
        narrow = self.squeeze(x)
        wide = torch.cat([self.expand1(narrow), self.expand3(narrow)], dim=1)
        return wide + x if self.bypass else wide


def _activation(channels: int, batch_norm: bool) -> Sequence[nn.Module]:
    relu = nn.ReLU(inplace=True)
    return [nn.BatchNorm2d(channels), relu] if batch_norm else [relu]


def _pool(*, small: bool) -> nn.MaxPool2d:
    return nn.MaxPool2d(2) if small else nn.MaxPool2d(3, stride=2, ceil_mode=True)
