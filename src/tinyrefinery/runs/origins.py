"""What the networks that a stage gets from outside its run were trained on, as far as it is known.

A refiner's file may come from another run, whose test images are not this run's. Images that it was
trained on are not held out for the networks that learned from it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.runs.run_folder import TrainedStage, open_stage, stage_folder_of
from tinyrefinery.runs.seen_sketch import SeenSketch, read_sketch


@dataclass(frozen=True)
class Origin:
    """Of networks from outside the run, and of everything behind them."""

    outside: tuple[str, ...] = ()
    """Their names, `file:PATH` or `timm:NAME`."""
    unknown: tuple[str, ...] = ()
    """Those of them, and of the networks behind them, whose training images are not all known."""
    seen: frozenset[str] = frozenset()
    """Identities of the images that they were trained or chosen on, as far as these are known."""


def find_origin(names: Iterable[str], ids: Sequence[str]) -> Origin:
    """The origin of networks from outside the run.

    A file's training images are known when it is the network of a finished stage of a run, or an
    ONNX file in its folder, which was made from that network. Of a network file that was copied out
    of its run, the header tells which of the run's images it used. Its other images stay unknown.

    Args:
        names: `file:PATH` or `timm:NAME`, of all networks that a stage depends on.
        ids: identities of the images of the run.
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
            if not _belongs_to(Path(place), stage):
                raise DataError(f"{name}: lies in the folder of a network that it is not")
            seen |= stage.seen()
            unknown |= dict.fromkeys(stage.unknown_origin)
        except DataError:  # no run folder, or a damaged one: then no list of all its images
            unknown[name] = None
            sketch = _sketch_of(Path(place)) if kind == "file" else None
            if sketch is not None:
                seen.update(sketch.counted_used(ids))
                unknown |= dict.fromkeys(sketch.unknown_origin)
    return Origin(outside, tuple(unknown), frozenset(seen))


def _sketch_of(file: Path) -> SeenSketch | None:
    """What the header of a network file tells; None where it tells nothing."""
    from tinyrefinery.models.network_file import read_info  # imports torch

    try:
        return read_sketch(read_info(file).extra)
    except CheckpointError:
        return None


def _belongs_to(file: Path, stage: TrainedStage) -> bool:
    return file.suffix.lower() == ".onnx" or file.resolve() == stage.network.resolve()
