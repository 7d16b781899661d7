"""dynamics.parquet: what a training told about each of its samples, with its identity."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError
from tinyrefinery.files import writing


def dynamics_table(
    manifest: Manifest, rows: np.ndarray, measures: Mapping[str, np.ndarray]
) -> pa.Table:
    """Columns `id`, `row`, `label` (the given class), then the measures; NaN becomes null.

    Args:
        manifest: of the data.
        rows: (N,) manifest rows of the samples.
        measures: (N,) each, as `Dynamics.measures` gives them.
    """
    columns = {
        "id": pa.array(manifest.column("id")[rows].tolist(), pa.string()),
        "row": pa.array(rows, pa.int64()),
        "label": pa.array(manifest.labels[rows], pa.int64()),
    }
    columns |= {name: pa.array(each, from_pandas=True) for name, each in measures.items()}
    metadata = {"classes": json.dumps(manifest.classes, ensure_ascii=False)}
    return pa.table(columns, metadata=metadata)


def save_dynamics(path: Path, table: pa.Table) -> None:
    """Write the table as Parquet, in one step."""
    with writing(path) as aside:
        pq.write_table(table, aside)


def load_dynamics(path: Path) -> pa.Table:
    """Read what `save_dynamics` wrote.

    Raises:
        DataError: when the file is missing, truncated or holds no dynamics.
    """
    try:
        table = pq.read_table(path)
        missing = {"id", "row", "label", "aum"} - {*table.column_names}
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: no readable dynamics ({error})") from error
    if missing:
        raise DataError(f"{path}: no dynamics of a training: columns {sorted(missing)} are missing")
    return table
