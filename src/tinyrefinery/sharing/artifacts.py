"""The artifacts that were exported from a network, found by what their records name."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyrefinery.deploy.export.export_options import TARGETS
from tinyrefinery.deploy.export.side_files import read_record, record_file
from tinyrefinery.errors import CheckpointError
from tinyrefinery.reading.digests import file_digest


@dataclass(frozen=True)
class Artifact:
    """An exported file with its record."""

    path: Path
    record: dict[str, Any] = field(repr=False)

    @property
    def form(self) -> str:
        """Target and precision, e.g. `litert int8`."""
        return f"{self.record.get('target', '')} {self.record.get('precision', '')}".strip()

    @property
    def drop(self) -> dict[str, Any] | None:
        """Accuracy lost, in percentage points, as `parity.Drop`; None where it isn't known."""
        return (self.record.get("parity") or {}).get("drop")

    @property
    def ram(self) -> int | None:
        """Bytes of the arena; None where it isn't known."""
        arena = (self.record.get("cost") or {}).get("arena")
        return None if arena is None else int(arena["head"]) + int(arena["tail"])

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one image; None where they aren't known."""
        return (self.record.get("cost") or {}).get("macs")


def find_artifacts(digests: Collection[str], folders: Iterable[Path]) -> list[Artifact]:
    """The artifacts in some folders that were made from a network.

    Args:
        digests: what the network is known by, see `Network.digest`.
        folders: where to look; those that don't exist are passed over.

    Raises:
        CheckpointError: if one of them, or its record, is damaged.
    """
    found: dict[Path, Artifact] = {}
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in TARGETS.values() and record_file(path).is_file():
                artifact = open_artifact_record(path)
                if artifact.record.get("digest") in digests:
                    found.setdefault(path.resolve(), artifact)
    return list(found.values())


def open_artifact_record(path: Path) -> Artifact:
    """An artifact with its record, checked to belong together.

    Raises:
        CheckpointError: if there is no record, or they don't.
    """
    record = read_record(path)
    if file_digest(path) != record["sha256"]:
        raise CheckpointError(
            f"{path}: its bytes differ from the exported ones (SHA-256). Export it again, or "
            "remove it and its record"
        )
    return Artifact(path, record)
