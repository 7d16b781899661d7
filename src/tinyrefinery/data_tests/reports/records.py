"""Results as JSON: kept beside a run, printed for machines, read back for a history."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinyrefinery.data_tests.verdicts import Result, Verdict, exit_code
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic

FORMAT = 1


@dataclass(frozen=True)
class Facts:
    """What results belong to."""

    suite: str
    """Name of the file of tests."""
    suite_digest: str
    """SHA-256 of the tests."""
    network: str
    """The network under test, for people."""
    network_digest: str
    """Its stage key, or the SHA-256 of its file."""
    baseline: str | None
    data: str
    """Name of the data set."""
    data_digest: str
    """Of its manifest."""
    images: int
    """Rows of the data."""
    version: str
    """Of Tiny Refinery."""
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def record(
    facts: Facts, results: Sequence[Result], paths: Sequence[str], *, release: bool
) -> dict[str, Any]:
    """Facts and results as plain data.

    Args:
        facts: what they belong to.
        results: of the tests.
        paths: of the data's rows, for the images that speak against the network.
        release: whether what is unproven counts as failed.
    """
    return {
        "format": FORMAT,
        **asdict(facts),
        "release": release,
        "exit_code": exit_code(list(results), release=release),
        "counts": counts(results),
        "results": [_plain(each, paths) for each in results],
    }


def counts(results: Sequence[Result]) -> dict[str, int]:
    """Number of tests of each verdict that occurs."""
    verdicts = [each.verdict for each in results]
    return {verdict.value: verdicts.count(verdict) for verdict in Verdict if verdict in verdicts}


def _plain(result: Result, paths: Sequence[str]) -> dict[str, Any]:
    content = asdict(result) | {"verdict": result.verdict.value}
    content["worst"] = [paths[row] for row in result.worst]
    return content


def keep(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record."""
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: Path) -> dict[str, Any]:
    """A record that was kept.

    Raises:
        DataError: when it can't be read or was written by a newer version.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise DataError(f"{path}: was written by another version; run the tests again")
        return content
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no readable results ({error}); run the tests again") from error
