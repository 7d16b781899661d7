"""The manifest: what it accepts, and that it survives a file."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError


def manifest(**changes) -> Manifest:
    columns = {
        "id": ["a", "b", "c"],
        "path": ["1", "2", "3"],
        "label": [0, 1, 1],
        "split": ["train", "test", "train"],
        "weight": [0.5, None, 1.5],
    }
    kept = {key: value for key, value in (columns | changes).items() if value is not None}
    return Manifest(pa.table(kept), ("cat", "dog"))


def test_rows_labels_and_columns():
    m = manifest()
    np.testing.assert_array_equal(m.rows("train"), [0, 2])
    np.testing.assert_array_equal(m.labels, [0, 1, 1])
    assert len(m) == 3
    with pytest.raises(DataError, match="no column 'x'"):
        m.column("x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": None}, "no column 'id'"),
        ({"label": ["0", "1", "1"]}, "column 'label' is string"),
        ({"label": [0, 1, 2]}, "labels are from 0 to 2, but there are 2 classes"),
        ({"split": ["train", "tset", "train"]}, "unknown split"),
    ],
)
def test_a_manifest_that_breaks_its_promise_is_refused(changes: dict, message: str):
    with pytest.raises(DataError, match=message):
        manifest(**changes)


def test_saved_and_loaded_and_truncated(tmp_path: Path):
    path = tmp_path / "manifest.parquet"
    manifest().save(path)
    again = Manifest.load(path)
    assert again.table.equals(manifest().table)
    assert again.classes == ("cat", "dog")
    assert again.digest == manifest().digest
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="not a readable manifest"):
        Manifest.load(path)


def test_the_digest_sees_ids_labels_splits_and_their_order():
    digests = {
        m.digest
        for m in (
            manifest(),
            manifest(id=["a", "b", "d"]),
            manifest(label=[0, 1, 0]),
            manifest(split=["train", "train", "train"]),
            manifest().select(np.array([1, 0, 2])),
        )
    }
    assert len(digests) == 5
    assert manifest(path=["x", "y", "z"]).digest == manifest().digest
