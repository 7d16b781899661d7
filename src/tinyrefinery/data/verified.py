"""What was once found out about encoded images, kept so that a second opening is fast.

One Parquet file a source, in `$TINYREFINERY_CACHE` or e.g. `~/.cache/tinyrefinery`. It is a cache:
when it can't be read or written, the images are looked at again, and nothing else happens.
"""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.errors import StorageError
from tinyrefinery.files import writing

_VERSION = 1  # raise it when `decode` changes what it accepts or the size it gives


@dataclass
class Findings:
    """What is known about N encoded images.

    Attributes:
        ids: SHA-256 of the bytes in hex; empty where not known yet.
        sizes: (N, 2) int32 height and width in pixels; zero where not known or broken.
        reasons: why an image is broken; empty where it is whole.
    """

    ids: list[str]
    sizes: np.ndarray
    reasons: list[str]

    @classmethod
    def nothing(cls, n: int) -> "Findings":
        """Findings of `n` images that nobody looked at."""
        return cls([""] * n, np.zeros((n, 2), np.int32), [""] * n)

    @property
    def known(self) -> np.ndarray:
        """Which images were looked at, (N,) bool."""
        return np.fromiter((bool(i) for i in self.ids), bool, len(self.ids))

    @property
    def whole(self) -> np.ndarray:
        """Which images were looked at and can be decoded, (N,) bool."""
        broken = np.fromiter((bool(reason) for reason in self.reasons), bool, len(self.reasons))
        return self.known & ~broken


def cache_folder() -> Path:
    """Where caches lie: `$TINYREFINERY_CACHE`, or the system's place for them."""
    own = os.environ.get("TINYREFINERY_CACHE")
    return Path(own) if own else platformdirs.user_cache_path("tinyrefinery")


def recall(home: str, stamps: list[str]) -> Findings:
    """Findings of an earlier opening, matched by stamp; nothing for images that are new or changed.

    Args:
        home: names the source, e.g. its folder.
        stamps: one text an image that changes when its bytes do (path, size, time of change).
    """
    findings = Findings.nothing(len(stamps))
    try:
        table = pq.read_table(_place(home))
        at = {stamp: row for row, stamp in enumerate(table.column("stamp").to_pylist())}
        hits = [row for row, stamp in enumerate(stamps) if stamp in at]
        found = table.take(pa.array([at[stamps[row]] for row in hits], pa.int64()))
        ids, reasons = found.column("id").to_pylist(), found.column("reason").to_pylist()
        sizes = np.stack([found.column(name).to_numpy() for name in ("height", "width")], 1)
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return findings
    for row, identity, reason in zip(hits, ids, reasons, strict=True):
        findings.ids[row], findings.reasons[row] = identity, reason
    findings.sizes[hits] = sizes
    return findings


def remember(home: str, stamps: list[str], findings: Findings) -> None:
    """Keep findings for `recall`, in place of what was kept for this source before."""
    table = pa.table(
        {
            "stamp": pa.array(stamps),
            "id": pa.array(findings.ids),
            "height": pa.array(findings.sizes[:, 0]),
            "width": pa.array(findings.sizes[:, 1]),
            "reason": pa.array(findings.reasons),
        }
    )
    try:
        with writing(_place(home)) as aside:
            pq.write_table(table, aside, compression="zstd")
    except (StorageError, OSError):
        pass  # a full disk must not stop an opening that needs no disk


def _place(home: str) -> Path:
    name = sha256(f"{_VERSION}\x1f{home}".encode()).hexdigest()[:24]
    return cache_folder() / "verified" / f"{name}.parquet"
