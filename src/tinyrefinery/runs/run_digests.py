"""digests.json: the digests of what a run says about itself, besides its stages."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic
from tinyrefinery.reading.digests import DIGEST, file_digest, is_intact, sealed
from tinyrefinery.reading.json_text import read_json_object
from tinyrefinery.runs import files

REMEDY = "Restore a copy, or give the command that trained the run again, which writes it."

log = logging.getLogger("tinyrefinery")


def digests_to_keep(run: Path) -> dict[str, str]:
    """Take the digests of files away, before some of these files are written again.

    A process that is killed meanwhile leaves files without digests, never ones with wrong digests.

    Returns:
        The digests, for `write_digests`. Nothing where they are missing or damaged.
    """
    try:
        kept = _read(run)
    except DataError as error:
        log.warning(f"{error} The other files of the run are no longer checked")
        kept = {}
    (run / files.DIGESTS).unlink(missing_ok=True)
    return kept


def write_digests(run: Path, kept: dict[str, str], written: Iterable[Path]) -> None:
    """Write the digests of files just written. Those of other files stay what they were."""
    new = {path.relative_to(run).as_posix(): file_digest(path) for path in written}
    write_atomic(run / files.DIGESTS, json.dumps(sealed({"files": {**kept, **new}}), indent=1))


def check_run_file(run: Path, path: Path) -> Path:
    """Check a file of a run folder against its digest, and return the path.

    Files without a digest pass.

    Raises:
        DataError: if the file is missing or differs, or if digests.json is damaged.
    """
    name = path.relative_to(run).as_posix()
    digest = _read(run).get(name)
    if digest is None:
        return path
    try:
        same = file_digest(path) == digest
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: can't be read ({reason}). {REMEDY}") from error
    if not same:
        raise DataError(
            f"{path}: has been changed since it was written (its digest differs). {REMEDY} If you "
            f"changed it on purpose, delete {run / files.DIGESTS}."
        )
    return path


def _read(run: Path) -> dict[str, str]:
    path = run / files.DIGESTS
    if not path.exists():
        return {}
    content = read_json_object(path, REMEDY)
    digests = content.get("files")
    if (
        content.keys() != {"files", DIGEST}
        or not is_intact(content)
        or not isinstance(digests, dict)
    ):
        raise DataError(f"{path}: is damaged (its digest differs). {REMEDY}")
    return digests
