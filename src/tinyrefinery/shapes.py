"""Shapes of tensors in signatures: `Float[Tensor, "B K"]` is a float tensor of B rows, K columns.

Tests check them at every call (tests/shapes.py), which needs the package jaxtyping of the extra
`dev`. Without it, and so for users, they are plain annotations that nothing reads.

Letters: B crops of a batch, K classes, k named classes of a sparse target, C channels, H and W of
an image, h and w of a crop or feature map, N samples.
"""

from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int64, UInt8
else:
    try:
        from jaxtyping import Bool, Float, Float32, Int64, UInt8
    except ImportError:
        Bool = Float = Float32 = Int64 = UInt8 = Annotated

__all__ = ["Bool", "Float", "Float32", "Int64", "UInt8"]
