"""Digests of files and values: whether what is read is what was written."""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

DIGEST = "digest"
"""Entry of a sealed JSON object: the digest of all others."""
_CHUNK = 1 << 20  # bytes


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal. A file that stays as it is gets read once per process.

    Raises:
        OSError: if the file is not readable.
    """
    status = path.stat()
    return _digest_of(path.absolute(), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def _digest_of(path: Path, *_: int) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its own digest, for `is_intact`."""
    plain = {name: value for name, value in content.items() if name != DIGEST}
    return {**plain, DIGEST: _object_digest(plain)}


def is_intact(content: Mapping[str, Any]) -> bool:
    """Whether an object is what `sealed` returned. Objects without a digest count as intact."""
    plain = {name: value for name, value in content.items() if name != DIGEST}
    return DIGEST not in content or content[DIGEST] == _object_digest(plain)


def _object_digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()
