"""A run folder as read back: its recipe, environment, data facts and finished stages."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from tinyrefinery.errors import DataError
from tinyrefinery.files import read_csv
from tinyrefinery.runs import files
from tinyrefinery.runs.image_record import images_file, read_ids, read_images
from tinyrefinery.runs.stage_record import StageFacts, read_facts


@dataclass(frozen=True, kw_only=True)
class TrainedStage(StageFacts):
    """One finished network."""

    folder: Path
    """Where it is kept."""
    run: str
    """Name of the run folder."""
    finished: float
    """When, seconds since 1970."""
    evaluation: dict[str, Any] = field(repr=False)
    metrics: tuple[dict[str, Any], ...] = field(repr=False)
    """One object per epoch, oldest first."""

    @property
    def network(self) -> Path:
        """File of the trained network."""
        return self.folder / files.NETWORK

    @property
    def dynamics(self) -> Path | None:
        """File of what training recorded of each sample; None where nothing was recorded."""
        return _existing(self.folder / files.DYNAMICS)

    @property
    def run_folder(self) -> Path:
        """The run folder that it lies in."""
        return self.folder.parent.parent

    @property
    def recipe(self) -> Path:
        """File of the recipe that it was trained by: of a table, that of its first row."""
        of_row = [self.run_folder / files.RECIPES / f"{row}.yaml" for row in self.rows]
        return next((path for path in of_row if path.exists()), self.run_folder / files.RECIPE)

    def predictions(self, split: str) -> Path | None:
        """File of its predictions on a split of its data; None where the split has no image."""
        return _existing(self.folder / files.predictions(split))

    def images(self) -> pa.Table:
        """The images of its dataset: `id`, `path`, `label` (the class name) and `split`.

        Raises:
            DataError: when the run folder does not have them, or the file is damaged.
        """
        return read_images(images_file(self.run_folder, self.data))

    def seen_outside(self) -> frozenset[str]:
        """Identities of the images that networks from outside the run were trained or chosen on.

        Raises:
            DataError: when the file of them is missing or damaged.
        """
        return frozenset(read_ids(self.folder / files.SEEN)) if self.outside else frozenset()

    def seen(self) -> frozenset[str]:
        """Identities of all images that it was trained or chosen on.

        These are the training and validation images of its own data, and those of the networks from
        outside the run that it depends on, unless they are of unknown origin.

        Raises:
            DataError: as `images`.
        """
        table = self.images()
        ids, splits = table.column("id").to_pylist(), table.column("split").to_pylist()
        own = {id for id, split in zip(ids, splits, strict=True) if split != "test"}
        return self.seen_outside() | own


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


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


def stage_folder_of(path: Path) -> Path | None:
    """The stage's folder that a path is, or that a file lies in; None where it is in no stage."""
    place = path.resolve()
    for folder in (place, place.parent):
        if folder.parent.name == files.STAGES and (folder / files.STAGE).is_file():
            return folder
    return None


def open_run(path: Path) -> Run:
    """Read a run folder; unfinished stages (without done.json) are left out.

    Of two networks for one stage and seed, which a changed recipe leaves behind, the one that was
    finished last counts, and a note reports the other.

    Raises:
        DataError: when it is not a run folder, or a file of a finished stage is missing or broken.
    """
    path = Path(path)
    if not (path / files.STAGES).is_dir():
        if (folder := stage_folder_of(path)) is not None:
            raise DataError(f"{path}: is in a run, but no run folder. Give {folder.parent.parent}")
        raise DataError(
            f"{path}: no run folder (it has no folder 'stages'). "
            "Give the folder that `tinyrefinery run` printed, usually runs/NAME."
        )
    excluded = path / files.EXCLUDED
    recipe = _text(path / files.RECIPE)
    name = path.resolve().name
    done = sorted((path / files.STAGES).glob(f"*/{files.DONE}"))
    stages, notes = _newest([_read_stage(file.parent, name) for file in done])
    content = _recipe_content(recipe)
    order = _recipe_order(content)
    stages.sort(key=lambda s: (s.rows, _place(s.stage, order), s.generation, s.stage, s.seed))
    return Run(
        path=path,
        name=name,
        title=str(content.get("title") or ""),
        recipe=recipe,
        environment=_read_json(path / files.ENVIRONMENT, {}),
        data=_read_json(path / files.DATA, {}),
        excluded=tuple(read_csv(excluded)) if excluded.exists() else (),
        table=_read_table(path / files.TABLE),
        stages=tuple(stages),
        notes=tuple(notes),
    )


def last_stage(stages: Sequence[TrainedStage]) -> str:
    """Id of the stage that comes last in the recipe.

    A stage that a changed recipe has no longer comes before all others.
    """
    orders = {
        path: _recipe_order(_recipe_content(_text(path)))
        for path in {stage.recipe for stage in stages}
    }

    def place(stage: TrainedStage) -> tuple[bool, int, int, str]:
        order = orders[stage.recipe]
        number = _place(stage.stage, order)
        return number < len(order), number, stage.generation, stage.stage

    return max(stages, key=place).stage


def open_stage(folder: Path) -> TrainedStage:
    """Read the folder of one finished stage.

    Raises:
        DataError: when the stage is not finished, or a file is missing or damaged.
    """
    if not (folder / files.DONE).exists():
        raise DataError(f"{folder}: no finished stage (it has no {files.DONE})")
    return _read_stage(folder, folder.resolve().parent.parent.name)


def _newest(stages: list[TrainedStage]) -> tuple[list[TrainedStage], list[str]]:
    """The network finished last for each stage and seed, and notes about the others."""
    kept: dict[tuple[tuple[str, ...], str, int], TrainedStage] = {}
    notes = []
    for stage in sorted(stages, key=lambda stage: stage.finished):
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
    return TrainedStage(
        **vars(read_facts(folder)),
        folder=folder,
        run=run,
        finished=(folder / files.DONE).stat().st_mtime,
        evaluation=_read_json(folder / files.EVALUATION),
        metrics=_read_metrics(folder / files.METRICS),
    )


def _read_json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON object; `default` replaces a missing file, None makes that an error."""
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


TABLE = ("title", "paper", "metric", "scale", "smoke", "recipe", "without", "rows", "keys")


def _read_table(path: Path) -> dict[str, Any]:
    """The content of table.json; empty when there is none."""
    content = _read_json(path, {})
    lacking = [name for name in TABLE if name not in content]
    if content and lacking:
        raise DataError(
            f"{path}: lacks {', '.join(lacking)}. Delete this file, and give the `reproduce` "
            "command again, which writes it."
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
                raise DataError(
                    f"{path}: line {number} is not an epoch's metrics ({error})"
                ) from error
    return tuple(epochs[epoch] for epoch in sorted(epochs))


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


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
