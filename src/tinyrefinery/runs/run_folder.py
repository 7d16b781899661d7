"""A run folder as read back: its recipe, environment, data facts and finished stages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinyrefinery.data.manifest import NEW
from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.files import read_csv
from tinyrefinery.reading.json_text import parse_json_object, read_json_object, read_text
from tinyrefinery.recipe.document import parse
from tinyrefinery.runs import files
from tinyrefinery.runs.image_record import images_file, read_ids, read_images
from tinyrefinery.runs.run_digests import REMEDY as RUN_REMEDY
from tinyrefinery.runs.run_digests import check_run_file
from tinyrefinery.runs.stage_digests import REMEDY, check_file, done_key, remedy_of
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
        """File of the trained network, unchecked; see `intact_network`."""
        return self.folder / files.NETWORK

    @property
    def intact_network(self) -> Path:
        """File of the trained network, to load it.

        Raises:
            CheckpointError: when it is not the network that was trained and measured.
        """
        return check_file(self.network)

    @property
    def dynamics(self) -> Path | None:
        """File of what training recorded of each sample; None where nothing was recorded.

        Raises:
            DataError: when it is not the file that training wrote.
        """
        return _checked(self.folder / files.DYNAMICS)

    @property
    def run_folder(self) -> Path:
        """The run folder that it lies in."""
        return self.folder.parent.parent

    @property
    def recipe(self) -> Path:
        """File of the recipe that it was trained by: of a table, that of its first row.

        Raises:
            DataError: when it has been changed since it was written.
        """
        run = self.run_folder
        of_row = [check_run_file(run, run / files.RECIPES / f"{row}.yaml") for row in self.rows]
        path = next((path for path in of_row if path.exists()), run / files.RECIPE)
        return check_run_file(run, path)

    def predictions(self, split: str) -> Path | None:
        """File of its predictions on a split of its data; None where the split has no image.

        Raises:
            DataError: when it is not the file that was written.
        """
        return _checked(self.folder / files.predictions(split))

    def images(self) -> pa.Table:
        """The images of its dataset: `id`, `path`, `label` (the class name) and `split`.

        Raises:
            DataError: when the run folder does not have them, or the file is damaged.
        """
        return read_images(check_run_file(self.run_folder, images_file(self.run_folder, self.data)))

    def seen_outside(self) -> frozenset[str]:
        """Identities of the images that networks from outside the run were trained or chosen on.

        Raises:
            DataError: when the file of them is missing or damaged.
        """
        return read_ids(check_file(self.folder / files.SEEN)) if self.outside else frozenset()

    def seen(self) -> frozenset[str]:
        """Identities of all images that it was trained or chosen on.

        These are the training and validation images of its own data, and those of the networks from
        outside the run that it depends on, unless they are of unknown origin.

        Raises:
            DataError: as `images`.
        """
        table = self.images()
        ids, splits = table.column("id").to_pylist(), table.column("split").to_pylist()
        used = zip(ids, splits, strict=True)
        own = {image for image, split in used if split not in ("test", NEW)}
        return self.seen_outside() | own


def _checked(path: Path) -> Path | None:
    """The path of a file that is what was written; None where there never was one."""
    return path if check_file(path).exists() else None


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
    recipe_file = check_run_file(path, path / files.RECIPE)
    excluded = check_run_file(path, path / files.EXCLUDED)
    recipe = _text(recipe_file)
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
        environment=_read_json(path, files.ENVIRONMENT),
        data=_read_json(path, files.DATA),
        excluded=tuple(read_csv(excluded)) if excluded.exists() else (),
        table=_read_table(path),
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
        """Whether the recipe still has the stage, and its place there."""
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
    facts = read_facts(folder)
    if facts.key != done_key(folder):
        raise DataError(
            f"{folder / files.STAGE}: is of another network than {files.DONE}. {REMEDY}"
        )
    evaluation, metrics = check_file(folder / files.EVALUATION), folder / files.METRICS
    return TrainedStage(
        **vars(facts),
        folder=folder,
        run=run,
        finished=(folder / files.DONE).stat().st_mtime,
        evaluation=read_json_object(evaluation, remedy_of(files.EVALUATION)),
        metrics=read_metrics(check_file(metrics)),
    )


TABLE = ("title", "paper", "metric", "scale", "smoke", "recipe", "without", "rows", "keys")


def _read_json(run: Path, name: str) -> dict[str, Any]:
    """A JSON object that a run says of itself; empty where there is no such file."""
    path = check_run_file(run, run / name)
    return read_json_object(path, RUN_REMEDY) if path.exists() else {}


def _read_table(run: Path) -> dict[str, Any]:
    """The content of table.json; empty when there is none."""
    content = _read_json(run, files.TABLE)
    lacking = [name for name in TABLE if name not in content]
    if content and lacking:
        raise DataError(
            f"{run / files.TABLE}: lacks {', '.join(lacking)}. Delete this file, and give the "
            "`reproduce` command again, which writes it."
        )
    return content


def read_metrics(path: Path) -> tuple[dict[str, Any], ...]:
    """Lines of metrics.jsonl, the later of two lines for one epoch; none when there is no file.

    A last line that is cut short (the process was killed while writing) is left out.
    """
    if not path.exists():
        return ()
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    epochs: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            entry = parse_json_object(line, f"line {number}")
            epochs[int(entry["epoch"])] = entry
        except (DataError, ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise DataError(
                    f"{path}: line {number} is not an epoch's metrics ({error})"
                ) from error
    return tuple(epochs[epoch] for epoch in sorted(epochs))


def _text(path: Path) -> str:
    return read_text(path) if path.exists() else ""


def _recipe_content(text: str) -> dict[str, Any]:
    """The recipe as plain data; empty when it can't be read, since a report does without."""
    try:
        content = parse(text)
    except RecipeError:
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
