"""Which images a run's networks were trained and measured on, kept in the run folder.

A source can be opened again with other splits, or with more images. What a network was trained on
stays written here, so that held-out images can be recognized later.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file
from tinyrefinery.runs import files

COLUMNS = ("id", "path", "label", "split")
DIGITS = 16
"""Of a dataset's digest, in file names and in stage.json."""


def image_table(manifest: Manifest) -> pa.Table:
    """One row per image: `id`, `path`, `label` (the class name, null without one) and `split`."""
    labels = pa.array(manifest.labels, mask=manifest.labels < 0)  # null without a label
    names = pa.array(manifest.classes, pa.string()).take(labels)
    id, path, split = (manifest.table.column(name) for name in ("id", "path", "split"))
    return pa.table([id, path, names, split], names=COLUMNS)


def images_file(run: Path, digest: str) -> Path:
    """Where a run folder keeps the images of the dataset with this digest, or its first 16."""
    return run / files.IMAGES / f"{digest[:DIGITS]}.parquet"


def write_images(run: Path, digest: str, table: pa.Table) -> Path:
    """Keep the images of a dataset, unless they are kept already; returns the file."""
    path = images_file(run, digest)
    if not (path.exists() and _holds(path, table)):
        with atomic_file(path) as aside:
            pq.write_table(table, aside)
    return path


def _holds(path: Path, table: pa.Table) -> bool:
    """Whether a file holds a table, intact."""
    try:
        return read_images(path).equals(table.combine_chunks())
    except DataError:
        return False


def read_images(path: Path) -> pa.Table:
    """What `write_images` wrote.

    Raises:
        DataError: when the file is missing or damaged.
    """
    table = _read(path)
    if tuple(table.column_names) != COLUMNS:
        raise DataError(
            f"{path}: has the columns {table.column_names}, not {list(COLUMNS)}. Delete the file "
            "and give the command that trained the run again, which writes it."
        )
    return table


def write_ids(path: Path, ids: frozenset[str]) -> None:
    """Write identities of images, in order, as the column `id`."""
    with atomic_file(path) as aside:
        pq.write_table(pa.table({"id": pa.array(sorted(ids), pa.string())}), aside)


def read_ids(path: Path) -> frozenset[str]:
    """What `write_ids` wrote.

    Raises:
        DataError: when the file is missing or damaged.
    """
    return frozenset(_read(path).column("id").to_pylist())


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
        table.column("id")
    except (OSError, pa.ArrowException, KeyError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: can't be read ({error}). It lists the images that networks were trained on. "
            "Give the command that trained the run again, which writes it."
        ) from error
    return table
