"""Lookup convolutions (LCNN, arXiv 1611.06473): filters from a few words of a dictionary.

A filter's weights at one place of its window, a vector over the input channels, are a weighted sum
of few of the k vectors of a dictionary, which all filters of the layer share:

    W[o, :, r, c] = sum over t of P[o, t, r, c] * D[t, :]

In training, P is a tensor (O, k, kh, kw) in which most numbers become 0 (section 3.2). Convolving
with W then equals a 1x1 convolution with D to k maps, and a convolution of these with P. There is
nothing between the two. Numbers of P within a threshold

    e = threshold / sqrt(kh * kw * k)

count as 0, and the loss has the penalty `sparsity * e * sum |P|` of those above it. So the gradient
of P is dL/dP + sparsity * e * sign(P) above the threshold, and 0 within it, where P is set to 0
after each step. A number that became 0 stays 0, unless `revive` is set: then it keeps the gradient
dL/dP, without the penalty. The authors' code has a threshold of 0.01.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.constraints import Constrained

THRESHOLD = 0.01
"""In the authors' code."""


class LookupConv2d(Constrained):
    """A lookup convolution in the form in which it is trained.

    Args:
        channels: C, input channels.
        width: O, output channels.
        words: k, vectors in the dictionary.
        kernel: side of the square filter in pixels.
        stride: of the convolution.
        padding: zeros around the input, in pixels; default `kernel // 2`.
        bias: add a bias.
        sparsity: weight of the penalty on P, lambda in the paper; 0 for none.
        threshold: of P, times sqrt(kh kw k).
        revive: let numbers that became 0 move again.

    Raises:
        RecipeError: if a number is out of range.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        words: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = False,
        sparsity: float = 0.0,
        threshold: float = THRESHOLD,
        revive: bool = False,
    ) -> None:
        super().__init__()
        if words < 1 or sparsity < 0 or threshold < 0:
            raise RecipeError(
                f"lookup convolution: words ({words}) must be at least 1, sparsity ({sparsity}) "
                f"and threshold ({threshold}) at least 0"
            )
        self.stride, self.padding = stride, kernel // 2 if padding is None else padding
        self.sparsity, self.revive = sparsity, revive
        self.least = threshold / math.sqrt(kernel * kernel * words)
        self.dictionary = nn.Parameter(torch.empty(words, channels))
        self.coefficients = nn.Parameter(torch.empty(width, words, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw D and P, normal with variance 2 / (inputs of one output number)."""
        words, channels = self.dictionary.shape
        kernel = self.coefficients.shape[-1]
        with torch.no_grad():
            self.dictionary.normal_(0, math.sqrt(2 / channels))
            self.coefficients.normal_(0, math.sqrt(2 / (kernel * kernel * words)))
            if self.bias is not None:
                self.bias.zero_()

    @property
    def is_kept(self) -> Tensor:
        """Which numbers of P are above the threshold, (O, k, kh, kw)."""
        return self.coefficients.detach().abs() > self.least

    def sparse(self) -> Tensor:
        """P with 0 within the threshold, (O, k, kh, kw)."""
        kept = self.coefficients * self.is_kept
        if not self.revive:
            return kept
        # The difference is exactly 0. It passes gradients to what is within the threshold too.
        return kept.detach() + (self.coefficients - self.coefficients.detach())

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (B, C, h, w) to (B, O, h', w')."""
        # Zeros around the words' maps: the same as around the input, as the 1x1 has no bias.
        found = F.conv2d(maps, self.dictionary[:, :, None, None])  # (B, k, h, w)
        return F.conv2d(found, self.sparse(), self.bias, self.stride, self.padding)

    def penalty(self) -> Tensor | None:
        """Sum of magnitudes above the threshold, times `sparsity` and the threshold."""
        if not self.sparsity:
            return None
        kept = (self.coefficients * self.is_kept).abs().sum()
        return self.sparsity * self.least * kept

    @torch.no_grad()
    def constrain(self) -> None:
        """Set what is within the threshold to 0, in place."""
        if not self.revive:
            self.coefficients.mul_(self.is_kept)

    @torch.no_grad()
    def dense(self) -> Tensor:
        """The weights W of the equal convolution, (O, C, kh, kw)."""
        return torch.einsum("okrc,km->omrc", self.sparse(), self.dictionary)

    def lookup(self) -> "SparseConv2d":
        """The same convolution with indices and coefficients instead of P."""
        return SparseConv2d(self)

    def extra_repr(self) -> str:
        """Shape and stride."""
        width, words, kernel = self.coefficients.shape[:3]
        channels = self.dictionary.shape[1]
        return f"{channels}, {width}, words={words}, kernel={kernel}, stride={self.stride}"


class SparseConv2d(nn.Module):
    """A lookup convolution in the form in which a device computes it: D, and P without its zeros.

    out[o, y, x] = bias[o] + sum of value * S[word, y stride + row - pad, x stride + column - pad]
    over the entries of filter o, where S is the 1x1 convolution with D. Entries are sorted by
    filter, then word, then place. Those of filter o are `starts[o]` to `starts[o + 1]`.
    It has no gradients.
    """

    dictionary: Tensor
    starts: Tensor
    words: Tensor
    places: Tensor
    values: Tensor
    bias: Tensor | None

    def __init__(self, layer: LookupConv2d) -> None:
        """Take over a trained layer."""
        super().__init__()
        self.kernel, self.stride = layer.coefficients.shape[-1], layer.stride
        self.padding, self.width = layer.padding, len(layer.coefficients)
        sparse = layer.sparse().detach().flatten(2)  # (O, k, kh kw)
        filters, words, places = sparse.nonzero(as_tuple=True)
        counts = torch.bincount(filters, minlength=self.width)
        self.register_buffer("dictionary", layer.dictionary.detach().clone())
        self.register_buffer("starts", F.pad(counts.cumsum(0), (1, 0)).to(torch.int32))
        self.register_buffer("words", words.to(torch.int32))
        self.register_buffer("places", places.to(torch.int32))
        self.register_buffer("values", sparse[filters, words, places])
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())

    @torch.no_grad()
    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (B, C, h, w) to (B, O, h', w'), entry by entry."""
        pad, step = self.padding, self.stride
        found = F.pad(F.conv2d(maps, self.dictionary[:, :, None, None]), (pad, pad, pad, pad))
        height = (found.shape[2] - self.kernel) // step + 1
        width = (found.shape[3] - self.kernel) // step + 1
        out = found.new_zeros(len(maps), self.width, height, width)
        for number in range(self.width):
            for entry in range(int(self.starts[number]), int(self.starts[number + 1])):
                row, column = divmod(int(self.places[entry]), self.kernel)
                down = slice(row, row + (height - 1) * step + 1, step)
                across = slice(column, column + (width - 1) * step + 1, step)
                seen = found[:, int(self.words[entry]), down, across]
                out[:, number] += self.values[entry] * seen
        return out if self.bias is None else out + self.bias.view(1, -1, 1, 1)


def in_lookup_form(network: nn.Module) -> nn.Module:
    """A copy of a trained network whose lookup convolutions have indices and coefficients."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LookupConv2d):
                setattr(parent, name, layer.lookup())
    return network


def lookup_in_place_of(network: nn.Module, words: int, **options: Any) -> nn.Module:
    """Replace the dense convolutions of a network by lookup convolutions, in place.

    Kept are convolutions with a 1x1 kernel, with groups or dilation, of fewer than 8 input channels
    (the first layer), and those with fewer weights vectors O kh kw than `words`, for which a
    dictionary saves nothing.

    Args:
        network: whose modules of type `nn.Conv2d` are replaced.
        words: vectors in each dictionary.
        options: of `LookupConv2d`.

    Raises:
        RecipeError: if nothing is left to replace.
    """
    replaced = 0
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Conv2d and _has_use(layer, words):
                setattr(parent, name, _lookup_for(layer, words, options))
                replaced += 1
    if not replaced:
        raise RecipeError(
            f"a dictionary of {words} words saves nothing in any layer: set words to a smaller "
            "number"
        )
    return network


_FEW = 8
"""Input channels of a first layer, for which dictionaries have no use."""


def _has_use(layer: nn.Conv2d, words: int) -> bool:
    side = layer.kernel_size[0]
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.kernel_size == (side, side)
    vectors = layer.out_channels * side * side
    return plain and side > 1 and layer.in_channels >= _FEW and words < vectors


def _lookup_for(layer: nn.Conv2d, words: int, options: dict[str, Any]) -> LookupConv2d:
    assert not isinstance(layer.padding, str)
    return LookupConv2d(
        layer.in_channels,
        layer.out_channels,
        words=words,
        kernel=layer.kernel_size[0],
        stride=layer.stride[0],
        padding=layer.padding[0],
        bias=layer.bias is not None,
        **options,
    )
