"""What a run writes about itself, besides what its networks leave."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic, write_csv
from tinyrefinery.reading.json_text import read_json_object
from tinyrefinery.recipe.load import dump
from tinyrefinery.runs import files
from tinyrefinery.runs.environment import environment
from tinyrefinery.runs.image_record import image_table, read_ids, write_ids, write_images
from tinyrefinery.runs.origins import find_origin
from tinyrefinery.runs.plan import DetectorJob, Job, Step
from tinyrefinery.runs.run_digests import check_run_file, digests_to_keep, write_digests
from tinyrefinery.runs.stage_digests import check_file, write_done
from tinyrefinery.runs.stage_record import facts_of, read_facts, stage_json

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
    kept = digests_to_keep(folder)
    texts = {
        files.RECIPE: dump(recipe),
        files.ENVIRONMENT: json.dumps(environment(), indent=1),
        files.DATA: json.dumps(facts, indent=1),
    }
    for name, text in texts.items():
        write_atomic(folder / name, text)
    written = [folder / name for name in texts]
    for each in data:
        written.append(write_images(folder, each.digest, each.images))
    problems = list(dict.fromkeys(p for each in data for p in each.problems))
    written.append(_write_problems(folder, problems))
    write_digests(folder, kept, written)


def _write_problems(folder: Path, problems: Sequence[Problem]) -> Path:
    """List what is wrong with the data, and log how much it is."""
    path = folder / files.EXCLUDED
    if problems:
        first = f"{problems[0].kind.replace('_', ' ')}: {problems[0].where}: {problems[0].what}"
        log.info(f"data: {len(problems)} problems, listed in {path}; first: {first}")
    rows = [(problem.kind, problem.where, problem.what) for problem in problems]
    write_csv(path, ("kind", "where", "what"), rows)
    return path


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
    path = folder / files.TABLE
    before = _read_table_facts(folder, path)
    same = all(before.get(name) == table[name] for name in ("digest", "smoke"))
    known = before.get("keys", {}) if same else {}
    stages = {row["id"]: row["stage"] for row in table["rows"]}
    keys = {row: dict(known.get(row, {})) for row in stages}
    for step in steps:
        if step.stage == stages[step.fills]:
            keys[step.fills][str(step.seed)] = step.key
    kept, written = digests_to_keep(folder), [path]
    for row, recipe in {job.row: job.recipe for job in reversed(jobs)}.items():
        written.append(folder / files.RECIPES / f"{row}.yaml")
        write_atomic(written[-1], dump(recipe))
    write_atomic(path, json.dumps({**table, "keys": keys}, indent=1))
    write_digests(folder, kept, written)


def _read_table_facts(folder: Path, path: Path) -> dict[str, Any]:
    """What an earlier command wrote; empty where there is no such file, or a damaged one."""
    if not path.exists():
        return {}
    try:
        return read_json_object(check_run_file(folder, path))
    except DataError as error:
        log.warning(f"{error} Rows of earlier commands are missing from it until they run again")
        return {}


def write_stage(step: Step, ids: Sequence[str]) -> None:
    """Write what a stage is, before it is trained. Rows of a table that come later are added.

    Args:
        step: the stage.
        ids: identities of the images of its data.
    """
    before = _read_stage_facts(step)
    facts = facts_of(step) | {"rows": _all_rows(before.get("rows", []), step.rows)}
    if step.outside:
        facts |= _origin(step, before, ids)
    if facts != before:
        write_atomic(step.folder / files.STAGE, stage_json(facts))


def _read_stage_facts(step: Step) -> dict[str, Any]:
    """What an earlier command wrote; empty where there is no such file, or a damaged one."""
    if not (step.folder / files.STAGE).exists():
        return {}
    try:
        return facts_of(read_facts(step.folder))
    except DataError as error:
        log.warning(f"{step.title}: written again, because {error}")
        return {}


def _all_rows(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Rows of a table that share a stage, of this command and of earlier ones.

    Where this command has them all, in its order, so that the stage is alike at every seed.
    """
    if set(before) <= set(now):
        return list(now)
    return [*before, *(row for row in now if row not in before)]


def _origin(step: Step, before: Mapping[str, Any], ids: Sequence[str]) -> dict[str, Any]:
    """What is known of the networks from outside that a stage depends on; writes `seen.parquet`.

    What an earlier command noted stays, as the folders of these networks may be gone by now.
    """
    names, seen = ("outside", "unknown_origin"), step.folder / files.SEEN
    if step.is_done and seen.exists() and all(name in before for name in names):
        check_file(seen)
        return {name: before[name] for name in names}
    origin = find_origin(step.outside, ids)
    write_ids(seen, origin.seen)
    return {"outside": list(origin.outside), "unknown_origin": list(origin.unknown)}


def seen_outside(step: Step, ids: Sequence[str]) -> frozenset[str]:
    """Identities of the images that networks from outside the run, behind a step, were trained on.

    Args:
        step: the stage.
        ids: identities of the images of its data.

    Raises:
        DataError: when an earlier command wrote them, and the file is damaged.
    """
    if not step.outside:
        return frozenset()
    kept = step.folder / files.SEEN
    return read_ids(kept) if kept.exists() else find_origin(step.outside, ids).seen


def finish_stage(step: Step, evaluation: Mapping[str, Any], threads: int) -> None:
    """Write the measures of a trained network, then `done.json`, which declares the stage whole.

    Args:
        step: the stage.
        evaluation: content of evaluation.json.
        threads: how many CPU threads trained the network.
    """
    text = json.dumps(dict(evaluation), indent=1, allow_nan=False)
    write_atomic(step.folder / files.EVALUATION, text)
    write_done(step.folder, step.key, threads)
