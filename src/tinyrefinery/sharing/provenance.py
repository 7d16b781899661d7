"""The networks behind a network: its refiners and starting points, theirs, and so on.

What is not recorded stays unknown: a file without a run or a bill of materials beside it tells
neither its data nor its own refiners.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tinyrefinery.errors import DataError, RefineryError
from tinyrefinery.pages.run_tables import shown_model
from tinyrefinery.reading.digests import file_digest
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs import files
from tinyrefinery.runs.run_folder import TrainedStage, open_stage, stage_folder_of
from tinyrefinery.sharing.ancestor import REFINER, START, Ancestor
from tinyrefinery.sharing.bom_beside import bom_beside
from tinyrefinery.sharing.licenses import License, timm_license


def ancestors_of_stage(stage: TrainedStage) -> tuple[Ancestor, ...]:
    """All networks behind a stage, each once for every network that used it directly."""
    found = list(_behind(stage, "", frozenset({stage.key})))
    for name in stage.outside:  # also those that today's recipe no longer names
        behind = list(_outside(name, START, "", frozenset()))
        if behind and behind[0].ref not in {each.ref for each in found}:
            found += behind
    return tuple(dict.fromkeys(found))


def ancestors_beside(file: Path) -> tuple[Ancestor, ...]:
    """The networks behind a lone file, by the bill of materials beside it; none without one."""
    facts = bom_beside(file)
    return () if facts is None else facts.behind


def _behind(stage: TrainedStage, of: str, seen: frozenset[str]) -> Iterator[Ancestor]:
    for name in stage.refiners:
        yield from _named(stage, name, REFINER, of, seen)
    part = _recipe_stage(stage)
    if part is None:
        return
    starts = [part.init_from, f"file:{part.model.weights}" if part.model.weights else None]
    starts += [part.model.name if part.model.kwargs.get("pretrained") else None]
    for name in filter(None, starts):
        yield from _named(stage, name, START, of, seen)


def _named(
    stage: TrainedStage, name: str, role: str, of: str, seen: frozenset[str]
) -> Iterator[Ancestor]:
    """A network that a stage's record or recipe names, and what is behind it."""
    if ":" in name:
        yield from _outside(name, role, of, seen)
        return
    other = _sibling(stage, name)
    if other is None:
        yield Ancestor(name, f"stage {name[:8]}", role, of, origin="not in the run any more")
    elif other.key not in seen:
        yield from _stage(other, role, of, f"run {other.run}", seen)


def _stage(
    stage: TrainedStage, role: str, of: str, origin: str, seen: frozenset[str]
) -> Iterator[Ancestor]:
    beside = bom_beside(stage.network)
    digest = file_digest(stage.intact_network) if stage.network.exists() else stage.key
    yield Ancestor(
        ref=digest,
        name=stage.label,
        role=role,
        of=of,
        model=shown_model(stage.model),
        labels=shown_labels(stage),
        origin=origin,
        sha256=digest if stage.network.exists() else "",
        license=beside.license if beside else License(),
        data=stage.data,
        data_license=beside.data_license if beside else License(),
        images_known=not stage.unknown_origin,
    )
    yield from _behind(stage, digest, seen | {stage.key})


def _outside(name: str, role: str, of: str, seen: frozenset[str]) -> Iterator[Ancestor]:
    """A network from outside the recipe, `file:PATH` or `timm:NAME`."""
    kind, _, place = name.partition(":")
    if kind == "timm":
        yield Ancestor(
            *(name, name, role, of, place),
            origin="pretrained weights of timm",
            license=timm_license(name),
        )
        return
    path = Path(place)
    stage = _stage_of_file(path)
    if stage is not None:
        if stage.key not in seen:
            yield from _stage(stage, role, of, f"run {stage.run}", seen)
        return
    digest = file_digest(path) if path.is_file() else ""
    gone = "" if digest else ", which is not there any more"
    new = Ancestor(digest or name, _shown(name), role, of, origin=f"a file{gone}", sha256=digest)
    facts = bom_beside(path) if digest else None
    if facts is None:
        yield new
        return
    yield replace(
        new,
        name=facts.name or new.name,
        model=facts.model,
        labels=facts.labels,
        license=facts.license,
        data_license=facts.data_license,
    )
    for each in facts.behind:
        yield replace(each, of=each.of or digest)


def shown_labels(stage: TrainedStage) -> str:
    """What a stage learned from, in words, without the folders of this machine."""
    text = stage.labels
    for name in sorted({*stage.refiners, *stage.outside}, key=len, reverse=True):
        text = text.replace(name, _shown(name))
    return text


def _shown(name: str) -> str:
    """A network from outside without the folders of this machine."""
    kind, _, place = name.partition(":")
    return Path(place).name if kind == "file" else name


def _stage_of_file(path: Path) -> TrainedStage | None:
    """The stage whose network a file is; None for any other file."""
    folder = stage_folder_of(path)
    try:
        stage = open_stage(folder) if folder is not None else None
    except DataError:
        return None
    return stage if stage is not None and path.resolve() == stage.network.resolve() else None


def _sibling(stage: TrainedStage, name: str) -> TrainedStage | None:
    """Another finished stage of the same run, by its key, or by its id at the same seed."""
    for done in sorted((stage.run_folder / files.STAGES).glob(f"*/{files.DONE}")):
        other = open_stage(done.parent)
        same = other.seed == stage.seed and set(other.rows) >= set(stage.rows)
        if other.key == name or (other.stage == name and same):
            return other
    return None


def _recipe_stage(stage: TrainedStage) -> Stage | None:
    """The stage's part of its recipe; None where the recipe is missing or lacks it."""
    try:
        recipe = load_recipe(stage.recipe)
    except RefineryError:
        return None
    return next((part for part in recipe.generations if part.id == stage.stage), None)
