"""Encodings of stored labels: exact, half precision or compact."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tinyrefinery.errors import RecipeError
from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.shapes import Float, UInt8

FormName = Literal["auto", "float32", "float16", "compact"]
DENSE_CLASSES = 32  # up to here, 8 bits for each class take no more space than the top ten classes
HALF_CLASSES = 1000  # from here on, 16 bits for each class take too much space
MOST_CLASSES = 1 << 16  # class numbers in the store have at most two bytes
TOP = 10


@dataclass(frozen=True)
class Form:
    """An encoding of labels with `classes` classes: a fixed number of bytes per label.

    * float32: exact. Training from the store equals training with a live refiner.
    * float16: half the size; probabilities are within 0.05 %, tiny ones within 3e-8.
    * sqrt8: 8 bits for the square root of each probability. Steps are fine for small probabilities.
      Of all 8-bit forms it has the smallest Kullback-Leibler divergence.
    * top: the `top` most probable classes, 1 or 2 bytes for the class and 8 bits for the square
      root of its probability. The most probable one gets what remains to one. Its byte holds
      instead the total probability of all other classes, which is spread evenly over them.
    """

    name: Literal["float32", "float16", "sqrt8", "top"]
    classes: int
    top: int = 0
    """Number of classes kept; 0 except in form "top"."""

    @property
    def bytes(self) -> int:
        """Size of one label in bytes."""
        per_class = {"float32": 4, "float16": 2, "sqrt8": 1, "top": 0}[self.name]
        return per_class * self.classes + (1 + self._index_bytes) * self.top

    @property
    def exact(self) -> bool:
        """Whether decoding restores the encoded labels to the last bit."""
        return self.name == "float32"

    @property
    def _index_bytes(self) -> int:
        return 1 if self.classes <= 256 else 2

    def encode(self, labels: Float[Tensor, "B {self.classes}"]) -> UInt8[Tensor, "B {self.bytes}"]:
        """Encode distributions (B, K) float32 as bytes, (B, `bytes`) uint8."""
        if self.name == "float32":
            return labels.float().contiguous().view(torch.uint8)
        if self.name == "float16":
            return labels.half().contiguous().view(torch.uint8)
        if self.name == "sqrt8":
            return _roots(labels)
        probability, index = labels.topk(self.top, dim=1)  # (B, K) -> (B, top) each
        rest = (1 - probability.double().sum(1, keepdim=True)).clamp(min=0).float()
        roots = _roots(torch.cat([rest, probability[:, 1:]], dim=1))  # (B, top)
        numbers = index.to(torch.uint8 if self._index_bytes == 1 else torch.int16)
        # (B, top) of one or two bytes -> (B, top * index bytes), after the roots
        return torch.cat([roots, numbers.contiguous().view(torch.uint8)], dim=1)

    def decode(self, records: UInt8[Tensor, "B {self.bytes}"]) -> Targets:
        """Decode labels (B, `bytes`) uint8 to targets, on the same device."""
        if self.name == "float32":
            return records.contiguous().view(torch.float32)
        if self.name != "top":
            half = self.name == "float16"
            dense = records.contiguous().view(torch.float16).float() if half else _squares(records)
            return dense / dense.sum(dim=1, keepdim=True)  # (B, K)
        rest, others = _squares(records[:, : self.top]).split([1, self.top - 1], dim=1)
        first = 1 - rest - others.sum(dim=1, keepdim=True)
        if self.top > 1:  # hard labels are the first class: rounding must not change the order
            first = first.maximum(others[:, :1])
        numbers = records[:, self.top :].contiguous()
        index = numbers if self._index_bytes == 1 else numbers.view(torch.int16)  # (B, top)
        index = index.long() & 0xFFFF  # torch has no arithmetic on unsigned 16-bit integers
        kept = torch.cat([first, others], dim=1)
        # Scale to the sum that is left after `rest`.
        probability = kept * ((1 - rest) / kept.sum(dim=1, keepdim=True).clamp_min(1e-12))
        return SparseTargets(index, probability, self.classes)


def choose(name: FormName, classes: int, top: int | None = None) -> Form:
    """Choose the form for a recipe's setting.

    `auto` is exact up to 32 classes, float16 below 1,000, and the top classes from there on.
    `compact` has 8 bits per class up to 32 classes, and the top classes above.

    Args:
        name: from the recipe.
        classes: K.
        top: number of classes to keep, at least 1 and fewer than K; selects form "top". None: 10
            where a form "top" results from `name`.

    Raises:
        RecipeError: if `top` doesn't match the classes or the form.
    """
    if classes > MOST_CLASSES and (top is not None or name in ("auto", "compact")):
        raise RecipeError(
            f"store: forms that keep the top classes allow {MOST_CLASSES} classes, not {classes}: "
            "set form: float16"
        )
    if top is not None:
        if name in ("float32", "float16"):
            raise RecipeError(f"store.top: {top} has no effect in form {name}: set form: compact")
        if not 1 <= top < classes:
            raise RecipeError(f"store.top: {top} must be from 1 to {classes - 1} ({classes=})")
        return Form("top", classes, top)
    if name == "auto":
        small, large = classes <= DENSE_CLASSES, classes >= HALF_CLASSES
        name = "float32" if small else "compact" if large else "float16"
    if name == "compact":
        return Form("sqrt8", classes) if classes <= DENSE_CLASSES else Form("top", classes, TOP)
    return Form(name, classes)


def _roots(values: Tensor) -> Tensor:
    """Square roots of numbers in [0, 1], as 8-bit integers."""
    return values.sqrt().mul(255).round().clamp(0, 255).to(torch.uint8)


def _squares(roots: Tensor) -> Tensor:
    return (roots.float() / 255).square()
