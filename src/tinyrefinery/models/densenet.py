"""DenseNet-BC (Huang et al. 2017): torchvision's, with a stem for small images added.

Bottlenecks of the dense blocks have 4 `growth` channels. Transitions halve the channels.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import DenseNet as TorchvisionDenseNet

from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork


class DenseNet(ImageNetwork):
    """A convolution, four dense blocks with transitions between them, pooling, linear layer.

    With stem `imagenet`, weights have torchvision's names and shapes.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        growth: channels that each layer adds, the paper's k.
        layers: number of layers in each of the four dense blocks.
        stem: `imagenet` starts with a 7x7 convolution of stride 2 and a max-pool, so the last map
            has 1/32 of the resolution; `small` with a 3x3 convolution of stride 1 (section 4.1), so
            1/8.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        growth: int = 32,
        layers: Sequence[int] = (6, 12, 24, 16),
        stem: Stem = "auto",
    ) -> None:
        super().__init__()
        first = 2 * growth
        a, b, c, d = layers  # exactly four
        base = TorchvisionDenseNet(growth, (a, b, c, d), first, num_classes=classes)
        self.features = base.features
        small = is_small(stem, size)
        kernel, stride = (3, 1) if small else (7, 2)
        self.features.conv0 = nn.Conv2d(
            channels, first, kernel, stride, padding=kernel // 2, bias=False
        )
        if small:
            self.features.pool0 = nn.Identity()
        self.classifier = nn.Linear(base.classifier.in_features, classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last dense block after its normalization and ReLU, (B, C, h, w)."""
        return F.relu(self.features(x))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.classifier(features.mean((2, 3)))


densenet121 = partial(DenseNet, growth=32)
"""7.979 million parameters at 1,000 classes; with the small stem 7.049 million at 100."""
densenet_k12 = partial(DenseNet, growth=12)
"""The same blocks at growth 12: with the small stem 1.035 million parameters at 100 classes."""
