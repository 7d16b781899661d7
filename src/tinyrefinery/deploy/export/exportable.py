"""A network as it is exported: images (N, H, W, C) in, probabilities out."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinyrefinery.layers.constant_weights import with_constant_weights


class Exportable(nn.Module):
    """Images with the channels last (B, H, W, C) -> probabilities (B, K)."""

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        normalize: bool,
    ) -> None:
        """Wrap a copy of a network.

        Args:
            network: normalized images (B, C, h, w) -> logits (B, K); it is not changed.
            mean: subtracted from each channel of images in [0, 1].
            std: each channel is then divided by it.
            normalize: whether images are pixels from 0 to 255, normalized here; else they are
                normalized already.
        """
        super().__init__()
        plain = with_constant_weights(copy.deepcopy(network))
        self.network = without_adaptive_pooling(plain).eval()
        self.normalization = _normalization(mean, std) if normalize else nn.Identity()

    def logits(self, images: Tensor) -> Tensor:
        """Images (B, H, W, C) float -> logits (B, K)."""
        return self.network(self.normalization(images.permute(0, 3, 1, 2)))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, H, W, C) float -> probabilities (B, K)."""
        return self.logits(images).softmax(dim=1)


def _normalization(mean: Sequence[float], std: Sequence[float]) -> nn.Conv2d:
    """Pixels in [0, 255] -> (pixels / 255 - mean) / std.

    A depthwise 1x1 convolution quantizes with one scale per channel and an exact bias. As a
    multiplication and an addition, both would round to 8 bits.
    """
    channels = len(mean)
    layer = nn.Conv2d(channels, channels, 1, groups=channels)
    shift, scale = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_((1 / (255 * scale)).reshape(-1, 1, 1, 1))
        layer.bias.copy_(-shift / scale)  # type: ignore[union-attr]
    return layer


class _GlobalMean(nn.Module):
    """What `nn.AdaptiveAvgPool2d(1)` computes, in operations that every runtime has."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 1, 1)."""
        return images.mean(dim=(2, 3), keepdim=True)


def without_adaptive_pooling(network: nn.Module) -> nn.Module:
    """Replace adaptive pooling to 1x1 in a network. Exporters make indexing of it otherwise."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
                setattr(parent, name, _GlobalMean())
    return network
