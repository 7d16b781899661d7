"""Export stored labels to a Parquet table."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from tinyrefinery.errors import LabelStoreError
from tinyrefinery.files import atomic_file
from tinyrefinery.labels.store.store import LabelStore
from tinyrefinery.losses.targets import SparseTargets

_CLASSES = "classes"  # key in the schema's metadata; one name per line
AT_ONCE = 1 << 24  # probabilities decoded at once: 64 MiB, well below the limit of 32-bit offsets


def export(store: LabelStore, path: Path, streams: Sequence[int]) -> int:
    """Write the labels of some streams, one row per label, stream by stream.

    Columns: `stream`, `row` (in the manifest), `id` (of the sample), `top_class` (its name), and
    `probabilities` of all classes. In form "top" the probabilities belong to the classes in column
    `classes`, and `rest` is the probability of each other class. Class names are in the schema's
    metadata.

    Returns:
        Number of labels written.

    Raises:
        LabelStoreError: if a stream is missing or damaged.
        StorageError: if the file is not writable.
    """
    names = store.facts["classes"]
    schema = _schema(store).with_metadata({_CLASSES: "\n".join(names)})
    with (
        atomic_file(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for stream in streams:
            for table in _tables(store, stream, schema):
                writer.write_table(table)
    return len(streams) * len(store)


def _schema(store: LabelStore) -> pa.Schema:
    fields = [("stream", pa.int32()), ("row", pa.int64()), ("id", pa.string())]
    fields += [("top_class", pa.string()), ("probabilities", pa.list_(pa.float32()))]
    if store.form.name == "top":
        fields += [("classes", pa.list_(pa.int32())), ("rest", pa.float32())]
    return pa.schema(fields)


def _tables(store: LabelStore, stream: int, schema: pa.Schema) -> Iterator[pa.Table]:
    """The labels of a stream in chunks of limited memory."""
    records = store.read(stream)
    if records is None:
        raise LabelStoreError(
            f"{store.folder}: has no stream {stream}. Choose from: {sorted(store.streams())}."
        )
    step = max(1, AT_ONCE // (store.form.top or store.form.classes))
    for start in range(0, len(store), step):
        samples = store.samples.slice(start, step)
        yield _table(store, stream, samples, records[start : start + step], schema)


def _table(
    store: LabelStore, stream: int, samples: pa.Table, records: Tensor, schema: pa.Schema
) -> pa.Table:
    targets, names = store.form.decode(records), np.array(store.facts["classes"], dtype=object)
    columns = {"stream": pa.array(np.full(len(records), stream, np.int32))}
    columns |= {"row": samples.column("row"), "id": samples.column("id")}
    if isinstance(targets, SparseTargets):
        top = targets.index[:, 0].numpy()  # the most probable class is the first
        columns["classes"] = _lists(targets.index.int().numpy())
        columns["rest"] = pa.array(targets.rest.numpy())
        columns["probabilities"] = _lists(targets.probability.numpy())
    else:
        top = targets.argmax(dim=1).numpy()
        columns["probabilities"] = _lists(targets.numpy())
    columns["top_class"] = pa.array(names[top], pa.string())
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _lists(values: np.ndarray) -> pa.ListArray:
    """Convert (N, k) to N lists of length k."""
    ends = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(values.reshape(-1)))
