"""A cache of findings about encoded images, which makes reopening a dataset fast.

There is one Parquet file per source, in `$TINYREFINERY_CACHE` or e.g. `~/.cache/tinyrefinery`. If
it can't be read or written, the images are examined again, without an error.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.errors import StorageError
from tinyrefinery.files import atomic_file, cache_folder

_VERSION = 2  # raise it when `decode` accepts other images or decodes to other sizes or pixels


@dataclass
class Findings:
    """Identity, size and defects of N encoded images.

    Attributes:
        ids: SHA-256 of the bytes in hex; empty for images not yet examined.
        sizes: (N, 2) int32 height and width in pixels; zero for broken or unexamined images.
        reasons: why an image is broken; empty for intact images.
        one_color: (N,) bool, all pixels of the image are equal.
        brightest: (N,) uint8, the largest value in the image.
    """

    ids: list[str]
    sizes: np.ndarray
    reasons: list[str]
    one_color: np.ndarray
    brightest: np.ndarray

    @classmethod
    def nothing(cls, n: int) -> "Findings":
        """Findings of `n` images that are not yet examined."""
        sizes, brightest = np.zeros((n, 2), np.int32), np.zeros(n, np.uint8)
        return cls([""] * n, sizes, [""] * n, np.zeros(n, bool), brightest)

    @property
    def examined(self) -> np.ndarray:
        """Which images were examined, (N,) bool."""
        return np.fromiter((bool(i) for i in self.ids), bool, len(self.ids))

    @property
    def intact(self) -> np.ndarray:
        """Which images were examined and are intact, (N,) bool."""
        broken = np.fromiter((bool(reason) for reason in self.reasons), bool, len(self.reasons))
        return self.examined & ~broken


def read_findings(home: str, stamps: list[str]) -> Findings:
    """Read cached findings by stamp. New and changed images have none.

    Args:
        home: name of the source, e.g. its folder.
        stamps: one text per image that changes with its bytes (path, size, modification time).
    """
    findings = Findings.nothing(len(stamps))
    try:
        table = pq.read_table(_cache_file(home))
        cached = {stamp: row for row, stamp in enumerate(table.column("stamp").to_pylist())}
        hits = [row for row, stamp in enumerate(stamps) if stamp in cached]
        table = table.take(pa.array([cached[stamps[row]] for row in hits], pa.int64()))
        ids, reasons = table.column("id").to_pylist(), table.column("reason").to_pylist()
        sizes = np.stack([table.column(name).to_numpy() for name in ("height", "width")], 1)
        one_color = table.column("one_color").to_numpy()
        brightest = table.column("brightest").to_numpy()
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return findings
    for row, identity, reason in zip(hits, ids, reasons, strict=True):
        findings.ids[row], findings.reasons[row] = identity, reason
    findings.sizes[hits], findings.one_color[hits] = sizes, one_color
    findings.brightest[hits] = brightest
    return findings


def write_findings(home: str, stamps: list[str], findings: Findings) -> None:
    """Write findings to the cache for `read_findings`, replacing this source's earlier ones."""
    table = pa.table(
        {
            "stamp": pa.array(stamps),
            "id": pa.array(findings.ids),
            "height": pa.array(findings.sizes[:, 0]),
            "width": pa.array(findings.sizes[:, 1]),
            "reason": pa.array(findings.reasons),
            "one_color": pa.array(findings.one_color),
            "brightest": pa.array(findings.brightest),
        }
    )
    try:
        with atomic_file(_cache_file(home)) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    except (StorageError, OSError):
        pass  # opening a dataset works without a cache, even if the disk is full


def _cache_file(home: str) -> Path:
    name = sha256(f"{_VERSION}\x1f{home}".encode()).hexdigest()[:24]
    return cache_folder() / "verified" / f"{name}.parquet"
