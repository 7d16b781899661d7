"""SkipblockNet (Abrahamyan et al. 2021, arXiv 2107.11170): MobileNet v3 with skip blocks.

Blocks are those of the published code, lusinlu/biasloss_skipblocknet. The widths of the family are
from the authors' answer to a question there. `docs/bias-loss.md` lists where paper and code differ.
"""

from functools import partial

from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.inverted_residual import InvertedResidual, SkipBlock, divisible
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork

_RELU, _SWISH = nn.ReLU, nn.Hardswish
# Output channels, expansion (times input channels), kernel, stride, squeeze-and-excitation,
# activation.
_STAGES = (
    (
        (24, 4, 3, 2, False, _RELU),
        (24, 3, 3, 1, False, _RELU),
        (40, 3, 5, 2, True, _RELU),
        (40, 3, 5, 1, True, _RELU),
        (40, 6, 5, 1, True, _SWISH),
    ),
    (
        (80, 6, 3, 2, False, _SWISH),
        (80, 2.5, 3, 1, False, _SWISH),
        (80, 2.3, 3, 1, False, _SWISH),
        (80, 2.3, 3, 1, False, _SWISH),
    ),
    (
        (112, 6, 3, 1, True, _SWISH),
        (112, 6, 3, 1, True, _SWISH),
        (160, 6, 5, 2, True, _SWISH),
        (160, 6, 5, 1, True, _SWISH),
        (160, 6, 5, 1, True, _SWISH),
    ),
)
# Skip blocks after the first two stages: expansion (times the stem's channels), kernel.
_SKIPS = ((6, 5), (2.3, 3))


class SkipblockNet(ImageNetwork):
    """Stem, 15 inverted residuals, two skip blocks from the first of them, a hidden layer, logits.

    Images must have at least 32 pixels a side.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies all widths, then rounded to multiples of 8; published: .5, .75, 1, 1.15.
        hidden: width of the hidden layer; a `width` above 1 multiplies it too.
        stem: `imagenet` starts with stride 2, so the last map has 1/32 of the resolution; `small`
            with stride 1, so 1/16, as in our other mobile networks.
        stem_width: channels of the stem, the first block and the inputs of skip blocks; default:
            16 times `width`, rounded to a multiple of 8.
        dropout: share of hidden features set to zero in training.
        skip_blocks: False removes the skip blocks, for the ablation (Table 3).
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        hidden: int = 1280,
        stem: Stem = "auto",
        stem_width: int | None = None,
        dropout: float = 0.2,
        skip_blocks: bool = True,
    ) -> None:
        super().__init__()
        if width <= 0 or hidden < 1 or (stem_width is not None and stem_width < 1):
            raise RecipeError(
                "skipblocknet: width, hidden and stem_width must be above 0, "
                f"got {width}, {hidden} and {stem_width}"
            )
        first = divisible(16 * width) if stem_width is None else stem_width
        stride = 1 if is_small(stem, size) else 2
        self.stem = nn.Sequential(
            conv_norm(channels, first, stride=stride, activation=_SWISH),
            InvertedResidual(first, first, expanded=first, activation=_SWISH),
        )
        self.stages, self.skips = nn.ModuleList(), nn.ModuleList()
        outputs = expanded = first
        for blocks in _STAGES:
            stage, outputs, expanded = _stage(outputs, blocks, width)
            self.stages.append(stage)
            if skip_blocks and len(self.skips) < len(_SKIPS):
                factor, kernel = _SKIPS[len(self.skips)]
                inner = divisible(first * factor)
                self.skips.append(SkipBlock(first, outputs, expanded=inner, kernel=kernel))
        self.last = conv_norm(outputs, expanded, kernel=1, activation=_SWISH)
        self.pool = nn.AdaptiveAvgPool2d(1)
        hidden = divisible(hidden * width) if width > 1 else hidden
        self.hidden = nn.Sequential(nn.Linear(expanded, hidden), nn.Hardswish(inplace=True))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, classes)
        initialize(self)
        _initialize_linear(self)

    def block_names(self) -> list[str]:
        """The blocks in forward order: a skip block follows its stage."""
        names = ["stem.0", "stem.1"]
        for number, stage in enumerate(self.stages):
            names += [f"stages.{number}.{name}" for name, _ in stage.named_children()]
            names += [f"skips.{number}"] * (number < len(self.skips))
        return [*names, "last", "hidden", "fc"]

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last 1x1 convolution, (B, C, h, w)."""
        early = x = self.stem(x)
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(self.skips):
                x = self.skips[number](early, x)
        return self.last(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(self.hidden(self.pool(features).flatten(1))))


def _stage(inputs: int, blocks: tuple, width: float) -> tuple[nn.Sequential, int, int]:
    """A sequence of inverted residuals, its output channels, and the last block's inner ones."""
    stage, expanded = nn.Sequential(), inputs
    for full, factor, kernel, stride, squeeze, activation in blocks:
        outputs, expanded = divisible(full * width), divisible(inputs * factor)
        stage.append(
            InvertedResidual(
                inputs,
                outputs,
                expanded=expanded,
                kernel=kernel,
                stride=stride,
                squeeze=squeeze,
                activation=activation,
            )
        )
        inputs = outputs
    return stage, inputs, expanded


def _initialize_linear(network: nn.Module) -> None:
    """Linear layers, also in squeeze-and-excitation: N(0, .01), zero bias, as in the code."""
    squeezes = [m for m in network.modules() if isinstance(m, SqueezeExcitation)]
    layers = [layer for squeeze in squeezes for layer in (squeeze.fc1, squeeze.fc2)]
    for layer in (*layers, *(m for m in network.modules() if isinstance(m, nn.Linear))):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


skipblocknet_xs = partial(SkipblockNet, width=0.5, hidden=1024)
"""2.329 million parameters at 1,000 classes, 76 million multiply-accumulates at 224."""
skipblocknet_s = partial(SkipblockNet, width=0.75, hidden=1024, stem_width=8)
"""3.579 million parameters, 145 million multiply-accumulates. The paper's numbers require 8
channels in the stem, but the code's rounding gives 16."""
skipblocknet_s16 = partial(SkipblockNet, width=0.75, hidden=1024)
"""S with the stem from the code's rounding: 3.587 million parameters, 170 million
multiply-accumulates. By the paper's way of counting, that is 12 % more than it prints."""
skipblocknet_m = partial(SkipblockNet, width=1.0, hidden=1280)
"""5.532 million parameters, 237 million multiply-accumulates."""
skipblocknet_l = partial(SkipblockNet, width=1.15, hidden=1280)
"""7.134 million parameters, 352 million multiply-accumulates."""
