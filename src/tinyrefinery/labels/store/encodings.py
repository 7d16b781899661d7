"""How a stored label is written: exact, in half precision, or compact."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tinyrefinery.errors import RecipeError
from tinyrefinery.losses.targets import SparseTargets, Targets

FormName = Literal["auto", "float32", "float16", "compact"]
DENSE_CLASSES = 32  # up to here, every class in 8 bits takes no more room than the top ten
HALF_CLASSES = 1000  # from here on, every class in 16 bits is out of proportion
MOST_CLASSES = 1 << 16  # that two bytes can name
TOP = 10


@dataclass(frozen=True)
class Form:
    """One way to write the labels of `classes` classes, row by row as bytes.

    * float32: exact, so that training from a store is training with a live refiner.
    * float16: half of that; a probability is right to 0.05 %, or to 3e-8 where it is tiny.
    * sqrt8: 8 bits of the square root of each probability: steps are fine where a probability is
      small, and finest of all 8-bit forms in Kullback-Leibler divergence.
    * top: the most likely `top` classes, 1 or 2 bytes for the class and 8 bits for the square root
      of its probability. The first of them is what remains to one, so its byte holds the mass of
      all classes that are not kept, which is spread evenly.
    """

    name: Literal["float32", "float16", "sqrt8", "top"]
    classes: int
    top: int = 0
    """Classes that are kept; of form "top" alone."""

    @property
    def bytes(self) -> int:
        """Of one label."""
        each = {"float32": 4, "float16": 2, "sqrt8": 1, "top": 0}[self.name]
        return each * self.classes + (1 + self._index_bytes) * self.top

    @property
    def exact(self) -> bool:
        """Whether reading gives what was written to the last bit."""
        return self.name == "float32"

    @property
    def _index_bytes(self) -> int:
        return 1 if self.classes <= 256 else 2

    def encode(self, labels: Tensor) -> Tensor:
        """Distributions (B, K) float32 as bytes, (B, `bytes`) uint8."""
        if self.name == "float32":
            return labels.float().contiguous().view(torch.uint8)
        if self.name == "float16":
            return labels.half().contiguous().view(torch.uint8)
        if self.name == "sqrt8":
            return _roots(labels)
        probability, index = labels.topk(self.top, dim=1)
        rest = (1 - probability.double().sum(1, keepdim=True)).clamp(min=0).float()
        roots = _roots(torch.cat([rest, probability[:, 1:]], dim=1))
        numbers = index.to(torch.uint8 if self._index_bytes == 1 else torch.int16)
        return torch.cat([roots, numbers.contiguous().view(torch.uint8)], dim=1)

    def decode(self, records: Tensor) -> Targets:
        """Targets of labels (B, `bytes`) uint8, on the device they lie on."""
        if self.name == "float32":
            return records.contiguous().view(torch.float32)
        if self.name != "top":
            half = self.name == "float16"
            wide = records.contiguous().view(torch.float16).float() if half else _squares(records)
            return wide / wide.sum(dim=1, keepdim=True)
        rest, others = _squares(records[:, : self.top]).split([1, self.top - 1], dim=1)
        first = 1 - rest - others.sum(dim=1, keepdim=True)
        if self.top > 1:  # rounding must not lift another above the first, which hard labels go by
            first = first.maximum(others[:, :1])
        numbers = records[:, self.top :].contiguous()
        wide = numbers if self._index_bytes == 1 else numbers.view(torch.int16)
        index = wide.long() & 0xFFFF  # there is no arithmetic on unsigned 16 bits
        named = torch.cat([first, others], dim=1)
        probability = named * ((1 - rest) / named.sum(dim=1, keepdim=True).clamp_min(1e-12))
        return SparseTargets(index, probability, self.classes)


def choose(name: FormName, classes: int, top: int | None = None) -> Form:
    """The form that a name stands for.

    `auto` is exact up to 32 classes, float16 below 1,000, and the top classes from there on;
    `compact` is 8 bits a class up to 32 classes, and the top classes above.

    Args:
        name: as a recipe says it.
        classes: K.
        top: classes to keep in form "top", at least 1 and fewer than K; None: 10, or with few
            classes all of them. Given, it asks for that form.

    Raises:
        RecipeError: when `top` doesn't fit the classes or the form.
    """
    if classes > MOST_CLASSES and (top is not None or name in ("auto", "compact")):
        raise RecipeError(f"store: the top classes of {classes} can't be kept; write form: float16")
    if top is not None:
        if name in ("float32", "float16"):
            raise RecipeError(f"store.top: {top} is not for form {name}; write form: compact")
        if not 1 <= top < classes:
            raise RecipeError(
                f"store.top: {top} of {classes} classes can't be kept; at least 1, fewer than all"
            )
        return Form("top", classes, top)
    if name == "auto":
        small, large = classes <= DENSE_CLASSES, classes >= HALF_CLASSES
        name = "float32" if small else "compact" if large else "float16"
    if name == "compact":
        return Form("sqrt8", classes) if classes <= DENSE_CLASSES else Form("top", classes, TOP)
    return Form(name, classes)


def _roots(values: Tensor) -> Tensor:
    """8 bits of square roots of numbers in [0, 1]."""
    return values.sqrt().mul(255).round().clamp(0, 255).to(torch.uint8)


def _squares(roots: Tensor) -> Tensor:
    return (roots.float() / 255).square()
