"""Skip block (Abrahamyan et al. 2021, arXiv 2107.11170): early features for late layers.

It takes early feature maps down to the size of late ones, so that detail which the layers between
have thrown away is there again. Any network can use it.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from tinyrefinery.layers.inverted_residual import expand_filter_project


class SkipBlock(nn.Module):
    """Average-pools early feature maps to the size of late ones, transforms them and adds them.

    The published code pools to fixed sizes, 28 and 14, so that its networks take images of 217 to
    224 pixels only. Here the size is that of what is added to.

    Args:
        channels: C of the early feature maps.
        width: channels of the late ones.
        expanded: channels in between.
        kernel: side of the depthwise filter, which keeps the size.
    """

    def __init__(self, channels: int, width: int, *, expanded: int, kernel: int = 3) -> None:
        super().__init__()
        self.block = expand_filter_project(channels, width, expanded=expanded, kernel=kernel)

    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        """The sum, (B, width, h', w'), of early (B, C, h, w) and late (B, width, h', w') maps."""
        size = late.shape[2], late.shape[3]
        return late + self.block(F.adaptive_avg_pool2d(early, size))
