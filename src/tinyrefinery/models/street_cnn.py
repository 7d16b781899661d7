"""A small plain CNN for the demo, fast enough to train on a laptop (our design).

The classes of street numbers depend on the positions of digits: 38 is not 83. So the last feature
maps are averaged to a grid. Averaged to one point, the network doesn't learn them.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.models.image_network import ImageNetwork


class StreetCNN(ImageNetwork):
    """Stages of 3x3 convolutions with batch normalization and ReLU, each at half the resolution.

    The first convolution of each stage has stride 2. The first stage has no others, because
    convolutions at the highest resolution cost most.

    Args:
        classes: K.
        size: height, width of the images in pixels; not used, any size works.
        channels: 1 or 3.
        widths: channels of each stage at width 1.
        convs: convolutions in each stage except the first.
        width: multiplies all widths.
        grid: rows and columns of the averaged last maps.
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
                f"street_cnn: widths {list(widths)} times width {width}, convs {convs} and grid "
                f"{grid} must all be at least 1, with at least one stage"
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
