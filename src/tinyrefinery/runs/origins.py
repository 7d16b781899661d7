"""What the networks that a stage gets from outside its run were trained on, as far as it is known.

A refiner's file may come from another run, whose test images are not this run's. Images that it was
trained on are not held out for the networks that learned from it.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.recipe.labels import Refined
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs import files
from tinyrefinery.runs.folder import open_stage, stage_folder_of
from tinyrefinery.runs.images import write_ids


@dataclass(frozen=True)
class Origin:
    """Of networks from outside the run, and of everything behind them."""

    outside: tuple[str, ...] = ()
    """Their names, `file:PATH` or `timm:NAME`."""
    unknown: tuple[str, ...] = ()
    """Those of them, and of the networks behind them, whose training images are not known."""
    seen: frozenset[str] = frozenset()
    """Identities of the images that the others were trained or chosen on."""


def find_origin(names: Iterable[str]) -> Origin:
    """The origin of networks from outside the run.

    A file's training images are known when it lies in the folder of a finished stage of a run.

    Args:
        names: `file:PATH` or `timm:NAME`, of all networks that a stage depends on.
    """
    outside = tuple(dict.fromkeys(names))
    unknown: dict[str, None] = {}
    seen: set[str] = set()
    for name in outside:
        kind, _, place = name.partition(":")
        folder = stage_folder_of(Path(place)) if kind == "file" else None
        try:
            if folder is None:
                raise DataError(f"{name}: lies in no run folder")
            stage = open_stage(folder)
            seen |= stage.seen()
            unknown |= dict.fromkeys(stage.unknown_origin)
        except DataError:  # no run folder, or a damaged one: then nothing is known, and noted so
            unknown[name] = None
    return Origin(outside, tuple(unknown), frozenset(seen))


def outside_networks(stage: str, recipe: Recipe) -> tuple[str, ...]:
    """Names of the networks from outside the recipe that a stage depends on, near or far.

    They refine it or a stage that it depends on, or are where one of them starts.
    """
    part = next(each for each in recipe.generations if each.id == stage)
    found: dict[str, None] = {}
    for name in [*(part.labels.by if isinstance(part.labels, Refined) else ()), part.init_from]:
        if name is not None:
            found |= dict.fromkeys((name,) if ":" in name else outside_networks(name, recipe))
    if part.model.weights is not None:
        found[f"file:{part.model.weights}"] = None
    if part.model.kwargs.get("pretrained"):
        found[part.model.name] = None
    return tuple(found)


def note_origin(folder: Path, outside: tuple[str, ...]) -> dict[str, Any]:
    """The entries `outside` and `unknown_origin` of a stage's stage.json, and its `seen.parquet`.

    What an earlier command noted stays, as the folders of the networks may be gone by now.
    """
    if not outside:
        return {}
    seen = folder / files.SEEN
    with suppress(OSError, ValueError, KeyError):  # there is no such file yet
        before = json.loads((folder / files.STAGE).read_text("utf-8"))
        if seen.exists():
            return {name: before[name] for name in ("outside", "unknown_origin")}
    origin = find_origin(outside)
    write_ids(seen, origin.seen)
    return {"outside": list(origin.outside), "unknown_origin": list(origin.unknown)}
