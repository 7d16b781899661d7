"""What a run writes about itself, besides what its networks leave."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.files import write_atomic, write_csv
from tinyrefinery.recipe.load import dump
from tinyrefinery.runs import files
from tinyrefinery.runs.environment import environment
from tinyrefinery.runs.image_record import image_table, read_ids, write_ids, write_images
from tinyrefinery.runs.origins import find_origin
from tinyrefinery.runs.plan import DetectorJob, Job, Step
from tinyrefinery.runs.stage_record import facts_of

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class DataFacts:
    """What a run keeps of a dataset."""

    name: str
    digest: str
    classes: tuple[str, ...]
    splits: Mapping[str, Any]
    """What there is of each split, e.g. how many images."""
    images: pa.Table
    """One row per image, see `runs.images`."""
    problems: tuple[Problem, ...]
    """What is wrong with the data."""


def data_facts(data: Dataset) -> DataFacts:
    """What a run keeps of a dataset to classify."""
    manifest = data.manifest
    splits = {split: len(manifest.rows(split)) for split in ("train", "validation", "test")}
    images, problems = image_table(manifest), tuple(data.problems)
    return DataFacts(data.name, manifest.digest, manifest.classes, splits, images, problems)


def write_run(folder: Path, recipe: BaseModel, data: Sequence[DataFacts]) -> None:
    """Write what the run is: recipe, environment, data, images and problems of the data.

    Args:
        folder: of the run.
        recipe: its first recipe, as it was given.
        data: the datasets of its recipes, each once, the first recipe's first.
    """
    first = data[0]
    facts = {
        "name": first.name,
        "digest": first.digest,
        "classes": list(first.classes),
        "splits": dict(first.splits),
    }
    write_atomic(folder / files.RECIPE, dump(recipe))
    write_atomic(folder / files.ENVIRONMENT, json.dumps(environment(), indent=1))
    write_atomic(folder / files.DATA, json.dumps(facts, indent=1))
    for facts in data:
        write_images(folder, facts.digest, facts.images)
    _write_problems(folder, list(dict.fromkeys(p for facts in data for p in facts.problems)))


def _write_problems(folder: Path, problems: Sequence[Problem]) -> None:
    """List what is wrong with the data, and log how much it is."""
    path = folder / files.EXCLUDED
    if problems:
        first = f"{problems[0].kind.replace('_', ' ')}: {problems[0].where}: {problems[0].what}"
        log.info(f"data: {len(problems)} problems, listed in {path}; first: {first}")
    rows = [(problem.kind, problem.where, problem.what) for problem in problems]
    write_csv(path, ("kind", "where", "what"), rows)


def write_table(
    folder: Path,
    table: Mapping[str, Any],
    jobs: Sequence[Job | DetectorJob],
    steps: Iterable[Step],
) -> None:
    """Write the recipe of each row, and table.json: the table's facts and the keys of its stages.

    The keys tell which network fills each row, by seed. Rows and seeds of earlier commands keep
    theirs, as long as the table is the same.

    Args:
        folder: of the run.
        table: `recipe.table.table_facts`.
        jobs: those that run now, as they were given.
        steps: all steps of theirs.
    """
    path, before = folder / files.TABLE, {}
    with suppress(OSError, ValueError):  # the first command here, or a file that was damaged
        before = json.loads(path.read_text("utf-8"))
    same = all(before.get(name) == table[name] for name in ("digest", "smoke"))
    known = before.get("keys", {}) if same else {}
    stages = {row["id"]: row["stage"] for row in table["rows"]}
    keys = {row: dict(known.get(row, {})) for row in stages}
    for step in steps:
        if step.stage == stages[step.fills]:
            keys[step.fills][str(step.seed)] = step.key
    for row, recipe in {job.row: job.recipe for job in reversed(jobs)}.items():
        write_atomic(folder / files.RECIPES / f"{row}.yaml", dump(recipe))
    write_atomic(path, json.dumps({**table, "keys": keys}, indent=1))


def write_stage(step: Step) -> None:
    """Write what a stage is, before it is trained. Rows of a table that come later are added."""
    path = step.folder / files.STAGE
    before = _read_stage_facts(path)
    facts = facts_of(step) | {"rows": _all_rows(before.get("rows", []), step.rows)}
    if step.outside:
        facts |= _origin(step, before)
    if facts != before:
        write_atomic(path, json.dumps(facts, indent=1))


def _read_stage_facts(path: Path) -> dict[str, Any]:
    """What an earlier command wrote; empty where there is no such file, or a damaged one."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text("utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _all_rows(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Rows of a table that share a stage, of this command and of earlier ones.

    Where this command has them all, in its order, so that the stage is alike at every seed.
    """
    if set(before) <= set(now):
        return list(now)
    return [*before, *(row for row in now if row not in before)]


def _origin(step: Step, before: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the networks from outside that a stage depends on; writes `seen.parquet`.

    What an earlier command noted stays, as the folders of these networks may be gone by now.
    """
    names, seen = ("outside", "unknown_origin"), step.folder / files.SEEN
    if seen.exists() and all(name in before for name in names):
        return {name: before[name] for name in names}
    origin = find_origin(step.outside)
    write_ids(seen, origin.seen)
    return {"outside": list(origin.outside), "unknown_origin": list(origin.unknown)}


def seen_outside(step: Step) -> frozenset[str]:
    """Identities of the images that networks from outside the run, behind a step, were trained on.

    Raises:
        DataError: when an earlier command wrote them, and the file is damaged.
    """
    if not step.outside:
        return frozenset()
    kept = step.folder / files.SEEN
    return read_ids(kept) if kept.exists() else find_origin(step.outside).seen


def finish_stage(step: Step, evaluation: Mapping[str, Any]) -> None:
    """Write the measures of a trained network, then `done.json`, which declares the stage whole."""
    text = json.dumps(dict(evaluation), indent=1, allow_nan=False)
    write_atomic(step.folder / files.EVALUATION, text)
    write_atomic(step.folder / files.DONE, json.dumps({"key": step.key}))
