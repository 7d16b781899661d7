"""A small plain CNN, quick enough to train on a laptop: what the demo trains (our design)."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small, residual_stem


class StreetCNN(nn.Module):
    """Stages of 3x3 convolutions with batch normalization and ReLU, each at half the resolution.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        widths: channels of each stage at width 1.
        convs: convolutions in each stage; the stem is the first of the first stage.
        width: multiplies all widths, for a larger network of the same kind.
        down: how the resolution is halved between stages: by a `pool` (2x2 max-pool after the last
            convolution of the stage before) or a `stride` in the first of the next, which is
            cheaper.
        stem: `small` is 3x3 with stride 1; `imagenet` is 7x7 with stride 2 and a 3x3 max-pool with
            stride 2.
        dropout: share of pooled features set to zero in training.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        widths: Sequence[int] = (16, 32, 64),
        convs: int = 1,
        width: float = 1.0,
        down: Literal["pool", "stride"] = "pool",
        stem: Stem = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        scaled = [round(full * width) for full in widths]
        if not scaled or min(scaled) < 1 or convs < 1 or down not in ("pool", "stride"):
            raise RecipeError(
                f"street_cnn: can't be built with widths {list(widths)}, width {width}, "
                f"convs {convs}, down '{down}'; it needs a stage with a channel, a convolution "
                "and down 'pool' or 'stride'"
            )
        self.stages = nn.Sequential()
        for i, outputs in enumerate(scaled):
            if i == 0:
                stage = nn.Sequential(residual_stem(channels, outputs, small=is_small(stem, size)))
            else:
                stride = 2 if down == "stride" else 1
                stage = nn.Sequential(conv_norm(scaled[i - 1], outputs, stride=stride))
            stage.extend(conv_norm(outputs, outputs) for _ in range(convs - 1))
            if down == "pool" and i + 1 < len(scaled):
                stage.append(nn.MaxPool2d(2))
            self.stages.append(stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(scaled[-1], classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last stage, (B, C, h, w)."""
        return self.stages(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(self.pool(features).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images."""
        return self.forward_head(self.forward_features(x))
