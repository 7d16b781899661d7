"""A small plain CNN, quick enough to train on a laptop: what the demo trains (our design).

Street numbers need to know where a digit stands (38 is not 83), so the last feature maps are
averaged to a grid, not to one point: with one point the network doesn't learn them.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm
from tinyrefinery.layers.initialize import initialize


class StreetCNN(nn.Module):
    """Stages of 3x3 convolutions with batch normalization and ReLU, each at half the resolution.

    The first convolution of every stage has stride 2; the first stage has that one only, since
    convolutions at the highest resolution cost most.

    Args:
        classes: K.
        size: height, width of the images in pixels; any will do.
        channels: 1 or 3.
        widths: channels of each stage at width 1.
        convs: convolutions in each stage but the first.
        width: multiplies all widths, for a larger network of the same kind.
        grid: rows and columns to which the last maps are averaged.
        dropout: share of pooled features set to zero in training.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        widths: Sequence[int] = (16, 32, 64),
        convs: int = 2,
        width: float = 1.0,
        grid: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        scaled = [round(full * width) for full in widths]
        if not scaled or min(scaled) < 1 or convs < 1 or grid < 1:
            raise RecipeError(
                f"street_cnn: can't be built with widths {list(widths)}, width {width}, convs "
                f"{convs}, grid {grid}; it needs a stage with a channel, a convolution and a grid"
            )
        self.stages = nn.Sequential()
        for i, outputs in enumerate(scaled):
            stage = nn.Sequential(conv_norm(scaled[i - 1] if i else channels, outputs, stride=2))
            stage.extend(conv_norm(outputs, outputs) for _ in range(convs - 1 if i else 0))
            self.stages.append(stage)
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(scaled[-1] * grid * grid, classes)
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
