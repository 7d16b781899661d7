"""A compact binary network for images of 32 to 96 pixels.

As in Bi-Real Net (arXiv 1808.00278), each binary convolution has a shortcut of its own, so that
the sums stay real numbers. As in QuickNet (arXiv 2011.09398), the activation comes before the
normalization, layers between stages are float 1x1 convolutions, and gradients and weights are
clipped at 1.25. The activation is a PReLU per channel (ReActNet, arXiv 2003.03488). All binary
layers have multiples of 64 channels, which fill the words of a packed network.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.binary import Activations, BinaryConv2d
from tinyrefinery.layers.conv_norm import conv_norm
from tinyrefinery.layers.quantized_weights import Weights
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork
from tinyrefinery.models.xnor_blocks import start

_CLIP = 1.25
"""Largest magnitude of a weight, and of an input whose sign gets a gradient."""


class ShortcutConv(nn.Module):
    """A binary 3x3 convolution with its own shortcut: x + norm(prelu(conv(sign(x)))).

    Args:
        width: input and output channels.
        weights: kind of weights.
        activations: kind of inputs.
    """

    def __init__(self, width: int, weights: Weights, activations: Activations) -> None:
        super().__init__()
        if weights == activations == "float":
            self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        else:
            options: dict[str, Any] = {"weights": weights, "activations": activations}
            self.conv = BinaryConv2d(width, width, clip=_CLIP, **options)
        self.activation = nn.PReLU(width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, width, h, w)."""
        return x + self.norm(self.activation(self.conv(x)))


class BirealSmall(ImageNetwork):
    """Float stem, stages of binary convolutions with shortcuts, average pooling, linear layer.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        widths: channels of the stages, which have 1/2, 1/4 and 1/8 of the stem's resolution.
        depth: binary convolutions in each stage.
        stem: `small` keeps the resolution, `imagenet` halves it first.
        weights: of the binary layers: binary, float, ternary or int4.
        activations: inputs of these layers: binary or float.
        dropout: share of pooled features set to zero in training.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        widths: Sequence[int] = (64, 128, 256),
        depth: int = 3,
        stem: Stem = "auto",
        weights: Weights = "binary",
        activations: Activations = "binary",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = list(widths)
        if not widths or min(widths) < 2 or depth < 1:
            raise RecipeError(
                f"bireal_small: widths {widths} and depth {depth} make no network: name at least "
                "one stage of 2 or more channels, and a depth of at least 1"
            )
        first = widths[0] // 2
        self.stem = conv_norm(channels, first, stride=1 if is_small(stem, size) else 2)
        self.stages = nn.Sequential()
        for before, width in zip([first, *widths], widths, strict=False):
            stage = nn.Sequential(
                _transition(before, width),
                *(ShortcutConv(width, weights, activations) for _ in range(depth)),
            )
            self.stages.append(stage)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], classes)
        start(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last stage through a ReLU, (B, C, h, w)."""
        return self.relu(self.stages(self.stem(x)))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(self.pool(features).flatten(1)))


def _transition(channels: int, width: int) -> nn.Sequential:
    """Halve the resolution, then map to `width` channels in float."""
    pool = nn.AvgPool2d(2)
    return nn.Sequential(pool, conv_norm(channels, width, kernel=1, activation=False))
