"""The chain: networks that refine one another, and when it must or may stop.

A generation learns from the labels of the one before it. When one collapses, all that come after
learn from its noise (a published replication lost its whole chain that way, see
docs/failed-replication.md), so a collapse stops the chain. All figures here are of the validation
split; the test split plays no part.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from tinyrefinery.errors import ChainError
from tinyrefinery.recipe.schema import Chain as ChainPart
from tinyrefinery.recipe.schema import Collapse
from tinyrefinery.statistics.proportions import wilson_interval


@dataclass(frozen=True)
class Generation:
    """One trained network of a chain."""

    id: str
    network: nn.Module = field(repr=False)
    validation_top1: float
    refined_by: tuple[str, ...] = ()
    """Ids of the generations that labeled for it; empty when it learned from given labels."""
    architecture: str = ""
    """Equal for networks that differ in their weights only."""
    evaluation: dict[str, Any] = field(default_factory=dict, repr=False)
    """What was measured, as in evaluation.json."""


def collapse(
    top1: float, refiners_top1: Sequence[float], classes: int, images: int, rule: Collapse
) -> str | None:
    """Why a network of validation accuracy `top1` counts as collapsed, or None.

    A difference within three standard errors of the validation split is not a collapse.

    Args:
        top1: its validation accuracy, 0 to 1.
        refiners_top1: those of its refiners, as far as they are known; none: no verdict.
        classes: K.
        images: size of the validation split.
        rule: what counts.
    """
    if not refiners_top1:
        return None
    best, chance = max(refiners_top1), 1 / classes
    noise = 3 * math.sqrt((top1 * (1 - top1) + best * (1 - best)) / max(images, 1))
    if best - top1 <= noise:
        return None
    if top1 - chance <= rule.near_chance * (best - chance):
        return f"its validation top-1 is {top1:.1%}, next to chance ({chance:.1%})"
    if best - top1 > rule.below_refiner:
        return (
            f"its validation top-1 is {top1:.1%}, more than {rule.below_refiner:.0%} below its "
            f"refiner's {best:.1%}"
        )
    return None


def chance(top1: float, classes: int, images: int) -> str:
    """Why a network of validation accuracy `top1` is not shown to beat guessing, or empty.

    Args:
        top1: its validation accuracy, 0 to 1.
        classes: K. Guessing among them is right once in K times.
        images: size of the validation split.
    """
    if not images or wilson_interval(top1, images)[0] > 1 / classes:
        return ""
    return (
        f"its validation top-1 is {top1:.1%} (n = {images:,}). Guessing among {classes} classes "
        f"gives {1 / classes:.1%}"
    )


class Chain:
    """Generations in the order they were trained; `chain[-1]` is the last."""

    def __init__(self, classes: int, images: int, rule: Collapse | None) -> None:
        """Start an empty chain.

        Args:
            classes: K.
            images: size of the validation split, by which its figures are uncertain.
            rule: when a generation counts as collapsed; None: never.
        """
        self.classes, self.images, self.rule = classes, images, rule
        self.generations: list[Generation] = []

    def __len__(self) -> int:
        return len(self.generations)

    def __getitem__(self, which: int | str) -> Generation:
        """By place, or by id.

        Raises:
            ChainError: when there is no generation of that id.
        """
        if isinstance(which, int):
            return self.generations[which]
        for generation in self.generations:
            if generation.id == which:
                return generation
        known = [generation.id for generation in self.generations]
        raise ChainError(f"chain: no generation '{which}' has been trained (there are: {known})")

    def __repr__(self) -> str:
        return f"Chain({', '.join(f'{g.id} {g.validation_top1:.1%}' for g in self.generations)})"

    def _repr_html_(self) -> str:
        """One line per generation, for notebooks."""
        head = "<tr><th>network</th><th>labels from</th><th>validation</th><th>test</th></tr>"
        lines = []
        for each in self.generations:
            test = each.evaluation.get("test", {}).get("top1")
            names = (each.id, ", ".join(each.refined_by) or "given")
            shares = (
                f"{100 * s:.1f} %" if s is not None else "" for s in (each.validation_top1, test)
            )
            cells = [*map(html.escape, names), *shares]
            lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        return f"<table>{head}{''.join(lines)}</table>"

    def add(self, generation: Generation) -> None:
        """Take in a trained generation.

        Raises:
            ChainError: when it collapsed; it is kept, but must not refine others.
        """
        self.generations.append(generation)
        if self.rule is None:
            return
        known = [g.validation_top1 for g in self.generations if g.id in generation.refined_by]
        reason = collapse(generation.validation_top1, known, self.classes, self.images, self.rule)
        if reason is not None:
            raise ChainError(
                f"stage '{generation.id}' collapsed: {reason}. The chain stops here, since later "
                "generations would learn from its labels; everything trained so far is kept. Look "
                "at its curves; a lower optimizer.lr, a warm-up, more epochs, or soft labels at "
                "level: crop usually fix it. chain.collapse sets what counts as a collapse."
            )

    @property
    def chance_note(self) -> str:
        """A warning where the last generation is not shown to beat guessing, else empty."""
        if self.rule is None or not self.generations:
            return ""
        last = self.generations[-1]
        reason = chance(last.validation_top1, self.classes, self.images)
        return reason and (
            f"stage '{last.id}' is not shown to be better than guessing: {reason}. A lower "
            "optimizer.lr, a warm-up or more epochs usually fix it"
        )

    def has_stopped_gaining(self, refiner: str, architecture: str, rule: ChainPart) -> bool:
        """Whether another generation of `architecture`, refined by `refiner`, is not worth it.

        Followed back from `refiner`, the last `rule.patience` generations each have to have been
        refined by one of the same architecture without gaining `rule.min_gain` over it.
        """
        latest = self[refiner]
        for _ in range(rule.patience):
            ancestors = [self[id] for id in latest.refined_by if self._has(id)]
            alike = [g for g in ancestors if g.architecture == latest.architecture == architecture]
            if not alike:
                return False
            best = max(alike, key=lambda g: g.validation_top1)
            if latest.validation_top1 - best.validation_top1 > rule.min_gain:
                return False
            latest = best
        return True

    def _has(self, id: str) -> bool:
        return any(generation.id == id for generation in self.generations)
