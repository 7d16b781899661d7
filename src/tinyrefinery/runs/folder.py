"""A run folder as read back: its recipe, environment, data facts and finished stages."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tinyrefinery.errors import DataError
from tinyrefinery.files import read_csv


@dataclass(frozen=True)
class TrainedStage:
    """One finished network: one stage at one seed."""

    folder: Path
    """Where it is kept."""
    run: str
    """Name of the run folder."""
    rows: tuple[str, ...]
    """Rows of the table that it belongs to; none for a lone recipe or when all rows share it."""
    stage: str
    seed: int
    key: str
    model: str
    labels: str
    """What it learned from, in words."""
    refiners: tuple[str, ...]
    """Keys of the stages whose labels it learned from; empty when it learned from given labels."""
    title: str
    generation: int
    """1 for given labels, else one more than the latest refiner's; a refiner file counts as 1."""
    finished: float
    """When, seconds since 1970."""
    evaluation: dict[str, Any] = field(repr=False)
    metrics: tuple[dict[str, Any], ...] = field(repr=False)
    """One object an epoch, oldest first."""

    @property
    def row(self) -> str:
        """Its rows as one text, empty when it has none."""
        return " + ".join(self.rows)

    @property
    def file(self) -> Path:
        """Of its network."""
        return self.folder / "model.safetensors"


@dataclass(frozen=True)
class Run:
    """What a run left behind. Files that are missing are empty here."""

    path: Path
    name: str
    title: str
    """The recipe's; may be empty."""
    recipe: str = field(repr=False)
    """Effective recipe, YAML text."""
    environment: dict[str, Any] = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    excluded: tuple[dict[str, str], ...] = field(repr=False)
    """Rows left out of the data, with columns kind, where, what."""
    table: dict[str, Any] = field(repr=False)
    """The table that it is a run of: `recipe.table_facts`, and `keys`; empty for lone recipes."""
    stages: tuple[TrainedStage, ...] = field(repr=False)
    """Finished ones only, in the recipe's order, then by seed."""
    notes: tuple[str, ...]
    """What a reader of the numbers should know, e.g. that older networks were left out."""


def open_run(path: Path) -> Run:
    """Read a run folder; unfinished stages (without done.json) are left out.

    Of two networks for one stage and seed, which a changed recipe leaves behind, the one that was
    finished last counts; a note tells.

    Raises:
        DataError: when it is no run folder, or a file of a finished stage is missing or broken.
    """
    path = Path(path)
    if not (path / "stages").is_dir():
        raise DataError(
            f"{path}: no run folder (it has no folder 'stages'). "
            "Give the folder that `tinyrefinery run` printed, usually runs/NAME."
        )
    recipe_file = path / "recipe.yaml"
    recipe = recipe_file.read_text("utf-8") if recipe_file.exists() else ""
    name = path.resolve().name
    folders = [each.parent for each in sorted(path.glob("stages/*/done.json"))]
    stages, notes = _newest([_read_stage(each, name) for each in folders])
    content = _recipe_content(recipe)
    order = _recipe_order(content)
    stages.sort(key=lambda s: (s.rows, _place(s.stage, order), s.generation, s.stage, s.seed))
    return Run(
        path=path,
        name=name,
        title=str(content.get("title") or ""),
        recipe=recipe,
        environment=_read_json(path / "environment.json", {}),
        data=_read_json(path / "data.json", {}),
        excluded=_read_excluded(path / "excluded.csv"),
        table=_read_table(path / "table.json"),
        stages=tuple(stages),
        notes=tuple(notes),
    )


def _newest(stages: list[TrainedStage]) -> tuple[list[TrainedStage], list[str]]:
    """The network finished last for each stage and seed, and notes about the others."""
    kept: dict[tuple[tuple[str, ...], str, int], TrainedStage] = {}
    notes = []
    for stage in sorted(stages, key=lambda each: each.finished):
        place = (stage.rows, stage.stage, stage.seed)
        if place in kept:
            old, new = kept[place].key[:8], stage.key[:8]
            notes.append(
                f"{stage.run}: stage '{stage.stage}' with seed {stage.seed} was trained twice. "
                f"The newer network ({new}) counts, the older ({old}) was left out."
            )
        kept[place] = stage
    return list(kept.values()), sorted(notes)


def _read_stage(folder: Path, run: str) -> TrainedStage:
    """One finished stage."""
    facts = _read_json(folder / "stage.json")
    try:
        return TrainedStage(
            folder=folder,
            run=run,
            rows=tuple(map(str, facts.get("rows") or filter(None, [facts.get("row")]))),
            stage=str(facts["id"]),
            seed=int(facts["seed"]),
            key=str(facts["key"]),
            model=str(facts["model"]),
            labels=str(facts["labels"]),
            refiners=tuple(map(str, facts.get("refiners") or ())),
            title=str(facts.get("title") or facts["id"]),
            generation=int(facts["generation"]),
            finished=(folder / "done.json").stat().st_mtime,
            evaluation=_read_json(folder / "evaluation.json"),
            metrics=_read_metrics(folder / "metrics.jsonl"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / 'stage.json'}: lacks or misstates {error}") from error


def _read_json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON object; `default` stands in for a missing file, None makes that an error."""
    if default is not None and not path.exists():
        return default
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: can't be read ({error}). Delete its folder and run again to remake it."
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds {type(content).__name__}, not a JSON object")
    return content


TABLE = ("title", "paper", "scale", "smoke", "recipe", "without", "rows", "keys")


def _read_table(path: Path) -> dict[str, Any]:
    """The content of table.json; empty when there is none."""
    content = _read_json(path, {})
    lacking = [name for name in TABLE if name not in content]
    if content and lacking:
        raise DataError(
            f"{path}: lacks {', '.join(lacking)}. Delete this file, and give the `reproduce` "
            "command again, which writes it anew."
        )
    return content


def _read_metrics(path: Path) -> tuple[dict[str, Any], ...]:
    """Lines of metrics.jsonl, the later of two lines for one epoch; none when there is no file.

    A last line that is cut short (the process was killed while writing) is left out.
    """
    if not path.exists():
        return ()
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    epochs: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            epochs[int(entry["epoch"])] = entry
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise DataError(f"{path}: line {number} is no epoch's metrics ({error})") from error
    return tuple(epochs[epoch] for epoch in sorted(epochs))


def _read_excluded(path: Path) -> tuple[dict[str, str], ...]:
    """Rows of excluded.csv."""
    return tuple(read_csv(path)) if path.exists() else ()


def _recipe_content(text: str) -> dict[str, Any]:
    """The recipe as plain data; empty when it can't be read, since a report does without."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _recipe_order(content: dict[str, Any]) -> dict[str, int]:
    """Place of each stage id in the recipe."""
    stages = content.get("stages")
    names = [s.get("id") for s in stages if isinstance(s, dict)] if isinstance(stages, list) else []
    return {str(name): place for place, name in enumerate(names)}


def _place(stage: str, order: dict[str, int]) -> int:
    """Place of a stage or of a generation of one (`small_2` of `small`); unknown ones are last."""
    base, _, number = stage.rpartition("_")
    return order.get(stage, order.get(base if number.isdigit() else stage, len(order)))
