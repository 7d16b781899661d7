"""ResNet8 of MLPerf Tiny's image classification task (mlcommons/tiny, keras_model.py).

At 10 classes and 32 pixels: 77,946 parameters, 12.5 million multiply-accumulates. The published
78,666 is Keras' total. It includes the running statistics (480) and the biases of the seven 3x3
convolutions (240), which have no effect before batch normalization and are left out here. The
padding of strided convolutions is symmetric, as usual in PyTorch. Keras pads right and bottom only.
"""

from typing import Literal

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.relu import relu
from tinyrefinery.layers.stem import is_small, residual_stem
from tinyrefinery.layers.strided_pointwise import StridedPointwise
from tinyrefinery.models.image_network import ImageNetwork

HALF = "half"


class _Block(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(channels, width, stride=stride)
        self.second = conv_norm(width, width, activation=False)
        # Unlike in other residual networks, the shortcut has a bias and no normalization.
        self.shortcut = nn.Identity() if stride == 1 else StridedPointwise(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)


class ResNet8(ImageNetwork):
    """Stem, three residual blocks of 16, 32 and 64 channels, average pooling, linear layer.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies the 16, 32 and 64 channels; 4 gives a refiner of 1.2 million parameters.
        stem: `small` as published; `imagenet` is 7x7 with stride 2 and a 3x3 max-pool with stride
            2, proposed for larger images in comments of the published code; `half` is one 3x3
            convolution with stride 2 (our choice).
        dropout: share of pooled features set to zero in training; none in the published network.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        stem: Literal["auto", "imagenet", "small", "half"] = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [round(full * width) for full in (16, 32, 64)]
        if widths[0] < 1:
            raise RecipeError(f"resnet8: width {width} leaves no channels")
        if stem == HALF:
            self.stem = conv_norm(channels, widths[0], stride=2)
        else:
            self.stem = residual_stem(channels, widths[0], small=is_small(stem, size))
        self.blocks = nn.Sequential(
            _Block(widths[0], widths[0], 1),
            _Block(widths[0], widths[1], 2),
            _Block(widths[1], widths[2], 2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[2], classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last block, (B, C, h, w)."""
        return self.blocks(self.stem(x))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(self.pool(features).flatten(1)))
