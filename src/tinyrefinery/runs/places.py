"""What a path or a stage's name means: the run folder around a file, the stages of a name."""

from collections.abc import Sequence
from pathlib import Path

from tinyrefinery.errors import DataError
from tinyrefinery.names import did_you_mean
from tinyrefinery.runs.folder import TrainedStage

RECIPE = "recipe.yaml"
DEPTH = 3  # runs/NAME/stages/ID-KEY8/model.safetensors


def run_around(path: Path) -> Path | None:
    """The run folder that a path is, or that the stage folder or network file lies in; or None.

    One that has just begun has its recipe and no stage yet.
    """
    for place in (path, *path.resolve().parents[:DEPTH]):
        if (place / RECIPE).is_file() and (place == path or (place / "stages").is_dir()):
            return place
    return None


def stages_called(
    path: Path, finished: Sequence[TrainedStage], names: Sequence[str]
) -> list[TrainedStage]:
    """The finished stages of a run that have one of these ids, in order; all where none is named.

    Raises:
        DataError: when no finished stage has such an id, naming the nearest and all others.
    """
    known = sorted({each.stage for each in finished})
    for name in names:
        if name not in known:
            raise DataError(
                f"{path}: no finished stage '{name}'.{did_you_mean(name, known)} Finished: "
                f"{', '.join(known) or 'none'}"
            )
    return [each for each in finished if not names or each.stage in names]
