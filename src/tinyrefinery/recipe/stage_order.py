"""Whether stages refer to each other in an order that can be trained."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import combinations
from typing import Any

from tinyrefinery.options.labels import LEAST_MASS, Refined
from tinyrefinery.options.losses import Kl
from tinyrefinery.recipe.stage import Model, Stage


def ancestors(stage: str, stages: Sequence[Stage]) -> set[str]:
    """Ids of the stages that must be trained before `stage` can be, as far back as they go.

    Args:
        stage: an id.
        stages: generations expanded, each after those that it refers to.
    """
    part = next(other for other in stages if other.id == stage)
    named = [*(part.labels.by if isinstance(part.labels, Refined) else ())]
    named += [name for name in (part.init_from, part.beside) if name is not None]
    direct = {name for name in named if ":" not in name}
    return direct.union(*(ancestors(name, stages) for name in direct))


def mistakes(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    """What is wrong, as (path, message) pairs; empty when all is well.

    Args:
        stages: in the order of training, generations expanded.
    """
    ids = [stage.id for stage in stages]
    problems = [
        (f"stages.{name}", f"{ids.count(name)} stages have this id; each needs its own")
        for name in dict.fromkeys(ids)
        if ids.count(name) > 1
    ]
    if problems:
        return problems
    for place, stage in enumerate(stages):
        problems += _wrong_refiners(stage, stages, place)
        problems += _wrong_start(stage, stages, place)
        problems += _wrong_neighbor(stage, stages, place)
    return problems


def _wrong_refiners(stage: Stage, stages: Sequence[Stage], place: int) -> Iterator[tuple[str, str]]:
    ids = [other.id for other in stages]
    if not isinstance(stage.labels, Refined):
        return
    for name in stage.labels.by:
        if ":" not in name and name not in ids[:place]:
            yield f"stages.{stage.id}.labels.by", _misplaced(name, ids, place, "refine")
    members = [stages[ids.index(name)] for name in stage.labels.by if name in ids[:place]]
    for one, other in combinations(members, 2):
        if _weights(one) == _weights(other):
            yield (
                f"stages.{stage.id}.labels.by",
                f"'{one.id}' and '{other.id}' are one network trained twice; give one a seed of "
                f"its own (stages.{other.id}.seed=1)",
            )


def _weights(stage: Stage) -> dict[str, Any]:
    """What the weights of a stage depend on, among its own fields."""
    return stage.model_dump(
        exclude={"id": True, "beside": True, "budget": True, "labels": {"store"}}
    )


_KINDS = ("weights", "activations", "input_scale")
"""Options of binary layers. They change no shape, so one kind of layer starts from another."""


def _shapes(model: Model) -> dict[str, Any]:
    """The options of a model that the shapes of its weights may depend on."""
    return {name: value for name, value in model.kwargs.items() if name not in _KINDS}


def _wrong_start(stage: Stage, stages: Sequence[Stage], place: int) -> Iterator[tuple[str, str]]:
    name = stage.init_from
    if name is None or name.startswith(("file:", "recipe:")):
        return
    where, ids = f"stages.{stage.id}.init_from", [other.id for other in stages]
    if ":" in name:
        yield (
            where,
            f"'{name}' is neither an earlier stage nor file:PATH nor recipe:NAME (a model of timm "
            "starts trained with model: {name: timm:NAME, kwargs: {pretrained: true}})",
        )
    elif name not in ids[:place]:
        yield where, _misplaced(name, ids, place, "start from")
    else:
        model = stages[ids.index(name)].model
        if (model.name, _shapes(model)) != (stage.model.name, _shapes(stage.model)):
            yield (
                where,
                f"the weights of '{name}' ({_text(model)}) don't fit this stage's model "
                f"({_text(stage.model)}); both must be the same",
            )


def _wrong_neighbor(stage: Stage, stages: Sequence[Stage], place: int) -> Iterator[tuple[str, str]]:
    name, ids = stage.beside, [other.id for other in stages]
    if name is None:
        return
    where = f"stages.{stage.id}.beside"
    if name not in ids[:place]:
        yield where, _misplaced(name, ids, place, "train beside")
        return
    first = stages[ids.index(name)]
    if first.beside is not None:
        yield where, f"'{name}' trains beside '{first.beside}' itself; write beside: {first.beside}"
    if stage.init_from in ids[ids.index(name) : place]:
        yield where, f"'{stage.id}' can't start from '{stage.init_from}' and train beside '{name}'"
    for field in ("labels", "epochs", "batch_size", "crop_pool"):
        if getattr(stage, field) != getattr(first, field):
            yield where, f"'{name}' and '{stage.id}' must have the same {field} to train in step"


def _text(model: object) -> str:
    kwargs = getattr(model, "kwargs", {})
    options = "".join(f", {name}={value}" for name, value in kwargs.items())
    return f"{getattr(model, 'name', '')}{options}"


def _misplaced(name: str, ids: list[str], place: int, verb: str) -> str:
    this, earlier = ids[place], ids[:place]
    if name == this:
        return f"'{name}' can't {verb} itself ({_known(name, earlier, 'earlier stages')})"
    if name in ids:
        return (
            f"'{name}' is a later generation, not yet trained when '{this}' needs it; "
            f"put '{name}' before '{this}' ({_known(name, earlier, 'earlier stages')})"
        )
    return f"no stage '{name}' ({_known(name, earlier, 'earlier stages')})"


def _known(name: str, ids: Sequence[str], kind: str) -> str:
    near = get_close_matches(name, ids, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}{kind}: {', '.join(ids) or 'none'}"


def name_of(stage_id: str, generation: int) -> str:
    """Id of a stage's generation, counted from 1: `small`, `small_2`, `small_3`."""
    return stage_id if generation == 1 else f"{stage_id}_{generation}"


def expand(stages: Iterable[Stage]) -> Iterator[Stage]:
    """Each stage once a generation, with `generations: 1`, refined by the generation before it."""
    for stage in stages:
        yield stage.model_copy(update={"generations": 1})
        for generation in range(2, stage.generations + 1):
            yield _next(stage, generation)


def _next(stage: Stage, generation: int) -> Stage:
    before = (name_of(stage.id, generation - 1),)
    change: dict[str, object] = {"id": name_of(stage.id, generation), "generations": 1}
    if isinstance(stage.labels, Refined):
        # The generation before has the data's classes, so nothing is mapped.
        ours = {"by": before, "classes": None, "least_mass": LEAST_MASS}
        change["labels"] = stage.labels.model_copy(update=ours)
    else:
        # The stage's own loss was meant for its own labels.
        change |= {"labels": Refined(by=before), "loss": Kl()}
    return stage.model_copy(update=change)
