"""Results as JSON: kept with a run, printed for machines, read back for a history."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinyrefinery.data_tests.verdicts import Result, Verdict, exit_code
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic
from tinyrefinery.reading.digests import DIGEST, is_intact, sealed
from tinyrefinery.reading.json_text import read_json_object

FORMAT = 1


@dataclass(frozen=True)
class Facts:
    """The tests, networks and data of some results."""

    suite: str
    """Name of the file of tests."""
    suite_digest: str
    """SHA-256 of the tests."""
    network: str
    """Name of the network under test, for display."""
    network_digest: str
    """Its stage key, or the SHA-256 of its file."""
    baseline: str | None
    """Name of the baseline network."""
    data: str
    """Name of the dataset."""
    data_digest: str
    """Digest of its manifest."""
    images: int
    """Number of rows."""
    version: str
    """Version of Tiny Refinery."""
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def record(
    facts: Facts, results: Sequence[Result], paths: Sequence[str], *, release: bool
) -> dict[str, Any]:
    """Facts and results, JSON-ready.

    Args:
        facts: facts of the results.
        results: results of the tests.
        paths: paths of the data's rows, to list the worst errors.
        release: whether unproven tests count as failed.
    """
    return {
        "format": FORMAT,
        **asdict(facts),
        "release": release,
        "exit_code": exit_code(list(results), release=release),
        "counts": counts(results),
        "results": [_plain(result, paths) for result in results],
    }


def counts(results: Sequence[Result]) -> dict[str, int]:
    """Number of tests per verdict, without verdicts that don't occur."""
    verdicts = [result.verdict for result in results]
    return {verdict.value: verdicts.count(verdict) for verdict in Verdict if verdict in verdicts}


def _plain(result: Result, paths: Sequence[str]) -> dict[str, Any]:
    content = asdict(result) | {"verdict": result.verdict.value}
    content["worst"] = [paths[row] for row in result.worst]
    return content


def keep(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record."""
    write_atomic(
        path, json.dumps(sealed(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )


def read(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        DataError: when it can't be read or was written by another version.
    """
    content = read_json_object(path, "Run the tests again.")
    if content.get("format") != FORMAT:
        raise DataError(f"{path}: written by another version: run the tests again")
    if not is_intact(content):
        raise DataError(f"{path}: is damaged (its digest differs): run the tests again")
    return {name: value for name, value in content.items() if name != DIGEST}
