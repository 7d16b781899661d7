"""Which networks a stage depends on: stages of its recipe, near and far, and networks from outside.

Networks from outside have names with a colon, `file:PATH` or `timm:NAME`. The longest line of
networks that refined one another is found here too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.detection import Backbone
from tinyrefinery.recipe.stage import Stage

_WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")
Stages = Mapping[str, Stage]
"""The stages of a recipe by id, generations expanded."""


class Named(Protocol):
    """A part of a recipe that names an architecture."""

    @property
    def name(self) -> str:
        """Of the architecture."""
        ...

    @property
    def kwargs(self) -> dict[str, Any]:
        """Its options."""
        ...


def architecture(model: Named) -> str:
    """Name and options of a network; equal for networks that differ in their weights only."""
    options = ", ".join(f"{name}={value}" for name, value in model.kwargs.items())
    return f"{model.name} ({options})" if options else model.name


def split_weights(name: str) -> tuple[str, Path | None]:
    """`timm:NAME@FILE` in its parts; any other name has no file of weights."""
    model, at, place = name.rpartition("@")
    if not at or not name.startswith("timm:") or not place.endswith(_WEIGHTS):
        return name, None
    return model, Path(place).expanduser()


def refiners_of(stage: Stage) -> tuple[str, ...]:
    """Names of the networks whose labels a stage learns from."""
    return stage.labels.by if isinstance(stage.labels, Refined) else ()


def parents(stage: Stage) -> tuple[str, ...]:
    """Names of the networks that a stage's training needs: its refiners, and where it starts."""
    return (*refiners_of(stage), *((stage.init_from,) if stage.init_from else ()))


def needs(stage: Stage, stages: Stages) -> tuple[str, ...]:
    """Ids of the stages that a stage needs, and of those that they need, in order of training."""
    near = [name for name in parents(stage) if name in stages]
    behind = {*near}.union(*(needs(stages[name], stages) for name in near))
    return tuple(name for name in stages if name in behind)


def generation(stage: Stage, stages: Stages) -> int:
    """1 for given labels, else one more than the latest refiner's; a refiner file counts as 1."""
    names = refiners_of(stage)
    return 1 + max((generation(stages[n], stages) if n in stages else 1 for n in names), default=0)


def outside_networks(stage: Stage, stages: Stages) -> tuple[str, ...]:
    """Names of the networks from outside that a stage depends on, or a stage that it needs."""
    names: dict[str, None] = {}
    for part in (*(stages[name] for name in needs(stage, stages)), stage):
        names |= dict.fromkeys(name for name in parents(part) if ":" in name)
        if part.model.weights is not None:
            names[f"file:{part.model.weights}"] = None
        if part.model.kwargs.get("pretrained"):
            names[part.model.name] = None
    return tuple(names)


def backbone_origin(part: Backbone) -> tuple[str, ...]:
    """Names of the networks from outside that a detector's backbone starts from."""
    pretrained = (part.name,) if part.kwargs.get("pretrained") else ()
    return (part.init_from,) if part.init_from else pretrained


def longest_line(refined_by: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names from a network that learned from given labels to its last descendant.

    Args:
        refined_by: per network the names of its refiners, networks in the order of training;
            refiners that are no key (files from outside) are passed over.

    Returns:
        The longest line. Of equally long ones, that whose last network was trained first; of
        several refiners, the one with the longest line counts. Empty without networks.
    """
    lines: dict[str, tuple[str, ...]] = {}
    for name, refiners in refined_by.items():
        before = [lines[refiner] for refiner in refiners if refiner in lines]
        lines[name] = (*max(before, key=len, default=()), name)
    return max(lines.values(), key=len, default=())
