"""A stage with `generations: k` as the k stages it stands for."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tinyrefinery.recipe.labels import Refined
from tinyrefinery.recipe.optimization import Kl

if TYPE_CHECKING:
    from tinyrefinery.recipe.schema import Stage


def name_of(stage_id: str, generation: int) -> str:
    """Id of a stage's generation, counted from 1: `small`, `small_2`, `small_3`."""
    return stage_id if generation == 1 else f"{stage_id}_{generation}"


def expand(stages: Iterable["Stage"]) -> Iterator["Stage"]:
    """Each stage once a generation, with `generations: 1`, refined by the generation before it."""
    for stage in stages:
        yield stage.model_copy(update={"generations": 1})
        for generation in range(2, stage.generations + 1):
            yield _next(stage, generation)


def _next(stage: "Stage", generation: int) -> "Stage":
    before = (name_of(stage.id, generation - 1),)
    change: dict[str, object] = {"id": name_of(stage.id, generation), "generations": 1}
    if isinstance(stage.labels, Refined):
        change["labels"] = stage.labels.model_copy(update={"by": before})
    else:
        # The stage's own loss was meant for its own labels.
        change |= {"labels": Refined(name="refined", by=before), "loss": Kl(name="kl")}
    return stage.model_copy(update=change)
