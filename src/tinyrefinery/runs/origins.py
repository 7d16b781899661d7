"""What the networks that a stage gets from outside its run were trained on, as far as it is known.

A refiner's file may come from another run, whose test images are not this run's. Images that it was
trained on are not held out for the networks that learned from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.errors import DataError
from tinyrefinery.runs.run_folder import TrainedStage, open_stage, stage_folder_of


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

    A file's training images are known when it is the network of a finished stage of a run, or an
    ONNX file in its folder, which was made from that network.

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
            if not _belongs_to(Path(place), stage):
                raise DataError(f"{name}: lies in the folder of a network that it is not")
            seen |= stage.seen()
            unknown |= dict.fromkeys(stage.unknown_origin)
        except DataError:  # no run folder, or a damaged one: then nothing is known, and noted so
            unknown[name] = None
    return Origin(outside, tuple(unknown), frozenset(seen))


def _belongs_to(file: Path, stage: TrainedStage) -> bool:
    return file.suffix.lower() == ".onnx" or file.resolve() == stage.network.resolve()
