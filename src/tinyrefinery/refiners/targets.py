"""Which networks are meant, and on which data they are looked at."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.runs.files import RECIPE
from tinyrefinery.runs.folder import open_run, run_around

NETWORK = "model.safetensors"
Seeds = Collection[int] | Literal["lowest", "all"]
_OVERRIDE = re.compile(r"[A-Za-z_][\w.-]*=")


@dataclass(frozen=True)
class Target:
    """A network that may refine."""

    name: str
    """For people, and unique among those that are looked at together."""
    source: str
    """`file:PATH` or `timm:NAME`, as a recipe's `labels.by` takes it."""
    run: Path | None = None
    """The run folder that it lies in."""
    row: str = ""
    stage: str = ""
    seed: int | None = None
    generation: int = 1
    model: str = ""


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Networks and overrides of one command line: `a.b=value` is an override unless it is there."""
    overrides = [each for each in words if _OVERRIDE.match(each) and not Path(each).exists()]
    return [each for each in words if each not in overrides], overrides


def find_targets(
    words: Sequence[str], stages: Collection[str] = (), seeds: Seeds = "lowest"
) -> list[Target]:
    """The networks that words name.

    Args:
        words: run folders, stage folders, network files, `file:PATH` or `timm:NAME`.
        stages: of run folders only the stages with these ids; empty: all.
        seeds: of run folders only these seeds, the lowest of each stage, or all.

    Raises:
        DataError: when a word names nothing, or nothing is left.
    """
    found = [target for word in words for target in _of_word(word, stages, seeds)]
    if len({each.run for each in found}) == 1:  # then its name tells nothing
        found = [replace(t, name=t.name.removeprefix(f"{Path(words[0]).name} ")) for t in found]
    if not found:
        raise DataError(
            "no network is named: give run folders, network files or timm:NAME, e.g. runs/demo"
        )
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"'{twice[0]}' is named twice; name each network once")
    return found


def find_student(word: str, targets: Sequence[Target], seeds: Seeds = "lowest") -> Target:
    """The network that is to learn: one of `targets` where it is among them.

    Args:
        word: a stage of the first target's run, or as in `find_targets`.
        targets: the refiners.
        seeds: of a stage, these seeds.

    Raises:
        DataError: when the word names nothing, or several networks.
    """
    runs = [each.run for each in targets if each.run is not None]
    if not word.startswith("timm:") and not Path(word.removeprefix("file:")).exists() and runs:
        found = find_targets([str(runs[0])], [word], seeds)
    else:
        found = find_targets([word])
    if len(found) != 1:
        names = ", ".join(each.name for each in found)
        raise DataError(f"--student {word}: names {len(found)} networks ({names}); name one")
    same = [each for each in targets if each.source == found[0].source]
    if same:
        return same[0]
    taken = found[0].name in {each.name for each in targets}
    return replace(found[0], name=found[0].source) if taken else found[0]


def _of_word(word: str, stages: Collection[str], seeds: Seeds) -> list[Target]:
    if word.startswith("timm:"):
        return [Target(word, word, model=word)]
    path = Path(word.removeprefix("file:"))
    if (path / "stages").is_dir():
        return _of_run(path, stages, seeds)
    file = path / NETWORK if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"{word}: no run folder, stage folder or network file; a refiner is one of these, or "
            "timm:NAME"
        )
    return [Target(str(path), f"file:{file}", run_around(file))]


def _of_run(path: Path, stages: Collection[str], seeds: Seeds) -> list[Target]:
    run = open_run(path)
    finished = run.stages
    chosen = []
    for each in run.stages_called(*stages):
        same = [s.seed for s in finished if (s.rows, s.stage) == (each.rows, each.stage)]
        wanted = (
            {"lowest": [min(same)], "all": same}.get(seeds, ()) if isinstance(seeds, str) else seeds
        )
        if each.seed in wanted:
            chosen.append(each)
    if not chosen:
        raise DataError(f"{path}: no finished stage{' with such a seed' if finished else ''}")
    return [
        Target(
            name=" ".join(filter(None, (path.name, each.row, each.stage, f"seed {each.seed}"))),
            source=f"file:{each.file}",
            run=path,
            row=each.row,
            stage=each.stage,
            seed=each.seed,
            generation=each.generation,
            model=each.model,
        )
        for each in chosen
    ]


def recipe_for(targets: Sequence[Target], given: str | None, overrides: Sequence[str]) -> Recipe:
    """The recipe whose data and crops the networks are looked at on.

    Args:
        targets: the networks.
        given: a recipe's file or name; None: that of the first network's run.
        overrides: changes to it.

    Raises:
        RecipeError: when there is none, or it is wrong.
    """
    if given is not None:
        return load_recipe(locate(given), overrides)
    runs = [each.run for each in targets if each.run is not None]
    if not runs:
        raise RecipeError(
            f"{targets[0].name}: on which data? Name a recipe, e.g. --recipe starter/cifar10 "
            "data.source.root=data/cifar10"
        )
    return load_recipe(runs[0] / RECIPE, overrides)
