"""Refiners with other classes than the data: which of their classes stand for which of the data's.

A network trained on ImageNet predicts 1,000 classes. Some of them stand for classes of the data,
several for one if need be. Their probabilities are added up and renormalized. What the network
gives to all its other classes is lost. Where little is left, its label is a guess, so the given
label takes its place.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tinyrefinery.data.device import to_device
from tinyrefinery.errors import RecipeError, did_you_mean
from tinyrefinery.shapes import Float, Float32

ELSEWHERE = -1
_WNID = re.compile(r"(n\d{8})(?![0-9a-zA-Z])")
Names = tuple[str, ...]
"""All names of one class of a refiner: its wnid, its name, the parts of a name with commas."""


@dataclass(frozen=True)
class ClassMap:
    """Classes of the data by class of a refiner.

    Attributes:
        targets: (N,) number of the data's class for each class of the refiner; -1: none.
        classes: number of the data's classes, K.
        least_mass: probability, 0 to 1, that must be left before a crop gets the refined label.
    """

    targets: tuple[int, ...]
    classes: int
    least_mass: float

    @property
    def reached(self) -> list[int]:
        """Numbers of the data's classes that the refiner can predict, in order."""
        return sorted(set(self.targets) - {ELSEWHERE})

    @property
    def unreached(self) -> list[int]:
        """Numbers of the data's classes that the refiner can't predict, in order."""
        return [number for number in range(self.classes) if number not in self.targets]

    @cached_property
    def _columns(self) -> Tensor:
        """Classes of the refiner that stand for each of the data's, (K, m); N: none."""
        sources = [[n for n, t in enumerate(self.targets) if t == k] for k in range(self.classes)]
        width = max(map(len, sources))
        padded = [found + [len(self.targets)] * (width - len(found)) for found in sources]
        return torch.tensor(padded)

    def sums(self, probabilities: Float[Tensor, "B N"]) -> Float[Tensor, "B K"]:
        """Probability of each of the data's classes, (B, K); a row sums to what is kept."""
        nothing = probabilities.new_zeros((len(probabilities), 1))
        columns = to_device(self._columns, probabilities.device)
        # (B, N + 1) -> (B, K, m) -> (B, K). Each row by itself and in a fixed order, so that a
        # crop's label has the same bits in any batch.
        return torch.cat([probabilities, nothing], dim=1)[:, columns].sum(dim=2)

    def kept(self, probabilities: Float[Tensor, "B N"]) -> Float[Tensor, " B"]:
        """Probability that is left on the mapped classes, (B,), 0 to 1."""
        return self.sums(probabilities).sum(dim=1)

    def labels(
        self, probabilities: Float[Tensor, "B N"], given: Float32[Tensor, "B K"] | None = None
    ) -> Float[Tensor, "B K"]:
        """Label distributions over the data's classes, (B, K), rows sum to one.

        Args:
            probabilities: of the refiner's classes, (B, N).
            given: labels that take the place of refined ones, (B, K): where less than `least_mass`
                is left, and where they name a class that the refiner can't predict. None: no label
                is replaced. Crops of which nothing is left then get even probabilities.
        """
        sums = self.sums(probabilities)
        mass = sums.sum(dim=1, keepdim=True)  # (B, 1)
        labels = sums / mass.clamp_min(torch.finfo(mass.dtype).tiny)
        if given is None:
            return torch.where(mass > 0, labels, 1 / self.classes)
        return torch.where(self.falls_back(mass[:, 0], given)[:, None], given, labels)

    def falls_back(
        self, mass: Float[Tensor, " B"], given: Float32[Tensor, "B K"]
    ) -> Float[Tensor, " B"]:
        """Whether each crop keeps its given label, (B,) bool; see `labels`."""
        weak = mass < self.least_mass
        if unreached := self.unreached:
            return weak | (given[:, unreached].sum(dim=1) > 0)
        return weak

    def facts(self) -> dict[str, Any]:
        """What a label depends on, as plain values."""
        mapped = {str(n): t for n, t in enumerate(self.targets) if t != ELSEWHERE}
        return {"classes": mapped, "of": len(self.targets), "least_mass": self.least_mass}


def read_class_map(
    entries: Mapping[str, str],
    theirs: Sequence[Names],
    ours: Sequence[str],
    least_mass: float,
    refiner: str,
) -> ClassMap:
    """The map that a recipe's `labels.classes` writes.

    Args:
        entries: class of the refiner, by name, wnid or number from 0, to class of the data.
        theirs: names of each of the refiner's classes, N of them.
        ours: the data's classes, K of them.
        least_mass: see `ClassMap`.
        refiner: its name, for messages.

    Raises:
        RecipeError: when classes are unknown, with a line for each entry, or fewer than two of the
            data's classes are reached.
    """
    targets = [ELSEWHERE] * len(theirs)
    mistakes = []
    for name, target in entries.items():
        try:
            _check_target(name, target, ours)
            number = _number_of(name, theirs, refiner)
        except RecipeError as error:
            mistakes.append(str(error))
            continue
        if targets[number] not in (ELSEWHERE, ours.index(target)):
            mistakes.append(
                f"labels.classes.{name}: {refiner}'s class {number} stands for both "
                f"'{ours[targets[number]]}' and '{target}'. Keep one of them"
            )
        targets[number] = ours.index(target)
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    found = ClassMap(tuple(targets), len(ours), least_mass)
    if len(found.reached) < 2:
        raise RecipeError(
            f"labels.classes: {refiner} can predict only one class of the data, "
            f"'{ours[found.reached[0]]}', so all its labels would be this class. Map another class"
        )
    return found


def _check_target(name: str, target: str, ours: Sequence[str]) -> None:
    if target not in ours:
        raise RecipeError(
            f"labels.classes.{name}: the data has no class '{target}'."
            f"{did_you_mean(target, ours)} Its classes are {_some(ours)}"
        )


def names_of(classes: Sequence[str]) -> list[Names]:
    """All names of each class: as it is written, the wnid that begins it, its parts by comma."""
    found = []
    for name in classes:
        wnid = _WNID.match(name)
        rest = name[wnid.end() :].strip(" _") if wnid else name
        parts = [part.strip() for part in rest.split(",")]
        texts = (name, *([wnid[1]] if wnid else []), rest, *parts)
        found.append(tuple(dict.fromkeys(text for text in texts if text)))
    return found


def _number_of(name: str, theirs: Sequence[Names], refiner: str) -> int:
    """Number of the class that a name, wnid or number means; a name counts first."""
    for key in (lambda text: text, str.casefold):
        found = [n for n, names in enumerate(theirs) if key(name) in map(key, names)]
        if len(found) > 1:
            choice = "; ".join(f"{n} ({', '.join(theirs[n])})" for n in found[:4])
            raise RecipeError(
                f"labels.classes.{name}: {refiner} has {len(found)} classes of this name: "
                f"{choice}. Write the number or the wnid"
            )
        if found:
            return found[0]
    if name.isdecimal() and int(name) < len(theirs):
        return int(name)
    known = [text for names in theirs for text in names]
    raise RecipeError(
        f"labels.classes.{name}: {refiner} has no class '{name}'.{did_you_mean(name, known)} "
        f"Write one of its names or wnids, or a number from 0 to {len(theirs) - 1}"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
