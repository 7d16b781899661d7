"""dynamics.parquet: the training dynamics of each sample, with its identity."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file
from tinyrefinery.reading.json_text import parse_json


def dynamics_table(
    manifest: Manifest, rows: np.ndarray, measures: Mapping[str, np.ndarray]
) -> pa.Table:
    """Build the table: columns `id`, `row`, `label` (the given class), then the measures.

    Args:
        manifest: of the data.
        rows: (N,) manifest rows of the samples.
        measures: (N,) per measure, from `Dynamics.measures`; NaN becomes null.
    """
    columns = {
        "id": pa.array(manifest.column("id")[rows].tolist(), pa.string()),
        "row": pa.array(rows, pa.int64()),
        "label": pa.array(manifest.labels[rows], pa.int64()),
    }
    columns |= {name: pa.array(values, from_pandas=True) for name, values in measures.items()}
    metadata = {"classes": json.dumps(manifest.classes, ensure_ascii=False)}
    return pa.table(columns, metadata=metadata)


def class_names_of(dynamics: pa.Table) -> list[str]:
    """Names of the classes that the columns `label` and `refined_class` number.

    Raises:
        DataError: if the table doesn't have them.
    """
    text = (dynamics.schema.metadata or {}).get(b"classes", b"")
    return parse_json(text, "training dynamics: class names")


def save_dynamics(path: Path, table: pa.Table) -> None:
    """Write the table as Parquet, atomically."""
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary)


def load_dynamics(path: Path) -> pa.Table:
    """Read a table written by `save_dynamics`.

    Raises:
        DataError: if the file is missing, truncated or holds no dynamics.
    """
    try:
        table = pq.read_table(path)
        missing = {"id", "row", "label", "aum"} - {*table.column_names}
    except Exception as error:  # damaged Parquet files raise almost anything
        raise DataError(f"{path}: no readable training dynamics ({error})") from error
    if missing:
        raise DataError(f"{path}: no training dynamics: columns {sorted(missing)} are missing")
    return table
