"""Accuracy and cost of networks and of their artifacts, from their records.

Accuracies are compared on the same images only. So each dataset and split has a panel of its own.
An artifact is listed with its network, on the images of its check.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinyrefinery.errors import DataError
from tinyrefinery.networks.opening import RUNTIME_FILES, open_networks
from tinyrefinery.reports.pareto import Point, literature
from tinyrefinery.sharing.artifacts import Artifact, open_artifact_record
from tinyrefinery.sharing.card_facts import CardFacts, card_facts
from tinyrefinery.statistics.proportions import wilson_interval

OURS = "ours"
UNKNOWN_DATA = "data not recorded"


@dataclass
class CostPoints:
    """Points by panel, and what could not be placed."""

    panels: dict[str, list[Point]] = field(default_factory=dict)
    """Named by dataset and images."""
    notes: list[str] = field(default_factory=list)
    """Networks without a point, and why; a sentence each."""

    def add(self, panel: str, point: Point) -> None:
        """Add a point, once."""
        points = self.panels.setdefault(panel, [])
        if point not in points:
            points.append(point)


def cost_points(words: Sequence[str | Path], exports: Sequence[Path] = ()) -> CostPoints:
    """The points of networks and artifacts, and of published networks on the same data.

    Args:
        words: run folders, of which every stage counts, network files, and artifacts.
        exports: folders to look for the networks' artifacts in.

    Raises:
        DataError: if a word means nothing, or nothing has an accuracy.
        CheckpointError: if an artifact is damaged or has no record.
    """
    files = [Path(word).expanduser() for word in map(str, words)]
    named = [path for path in files if path.suffix.lower() in RUNTIME_FILES and path.is_file()]
    others = [w for w, path in zip(words, files, strict=True) if path not in named]
    found, placed = CostPoints(), set[Path]()
    for network in open_networks(others) if others or not named else []:
        facts = card_facts(network, exports=[*exports, *(path.parent for path in named)])
        _add_network(found, facts)
        placed |= {artifact.path.resolve() for artifact in facts.artifacts}
    for path in named:
        if path.resolve() not in placed:
            _add_artifact(found, UNKNOWN_DATA, open_artifact_record(path), None)
    if not found.panels:
        raise DataError("; ".join(found.notes) or "pareto: nothing has an accuracy")
    for panel in found.panels:
        data, _, images = panel.partition(", ")
        if images in ("test images", "validation images"):
            found.panels[panel] += literature(data)
    return found


def _add_network(found: CostPoints, facts: CardFacts) -> None:
    data, accuracy = facts.data.name if facts.data else UNKNOWN_DATA, facts.accuracy
    if accuracy is None:
        found.notes.append(f"{facts.network.name}: left out, because no accuracy is recorded")
    else:
        interval = (accuracy.low, accuracy.high)
        point = _network_point(facts, accuracy.top1, interval, accuracy.n)
        found.add(f"{data}, {accuracy.split} images", point)
    for artifact in facts.artifacts:
        _add_artifact(found, data, artifact, facts)


def _network_point(facts: CardFacts, top1: float, interval: tuple[float, float], n: int) -> Point:
    return Point(
        *(facts.network.name, OURS, _millions(facts.parameters), _millions(facts.macs)),
        *(100 * top1, facts.network.name),
        bytes=facts.bytes,
        interval=(100 * interval[0], 100 * interval[1]),
        n=n,
    )


def _add_artifact(
    found: CostPoints, data: str, artifact: Artifact, facts: CardFacts | None
) -> None:
    drop, parity = artifact.drop, artifact.record.get("parity") or {}
    if drop is None:
        found.notes.append(f"{artifact.path.name}: left out, because it was checked without labels")
        return
    n, panel = int(parity["n"]), f"{data}, {parity['images']}"
    interval = wilson_interval(drop["artifact"], n)
    point = Point(
        *(artifact.path.name, OURS, None, _millions(artifact.macs), 100 * drop["artifact"]),
        artifact.path.name,
        bytes=artifact.record["bytes"],
        ram=artifact.ram,
        interval=(100 * interval[0], 100 * interval[1]),
        n=n,
    )
    found.add(panel, point)
    if facts is not None:  # its network on the same images
        low, high = wilson_interval(drop["network"], n)
        found.add(panel, _network_point(facts, drop["network"], (low, high), n))


def _millions(count: float | None) -> float | None:
    return None if count is None else count / 1e6
