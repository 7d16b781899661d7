"""The label store: what was written comes back, and nothing else does."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from tinyrefinery.cli.main import app
from tinyrefinery.errors import LabelStoreError, StorageError
from tinyrefinery.labels.store.export import export
from tinyrefinery.labels.store.store import LabelStore, identity

ROWS = np.array([3, 1, 4, 15, 9])
IDS = np.array([f"{row:064x}" for row in ROWS], dtype=object)
CLASSES = ["cat", "dog", "owl"]


def facts(**change):
    data = {"rows": 5, "digest": identity.rows_digest(ROWS, IDS), "channels": 3}
    base = {
        "format": identity.FORMAT,
        "labels": {"form": "float32", "top": 0},
        "data": data,
        "classes": CLASSES,
        "crops": {"kind": "pad", "seed": 7},
        "refiner": {"networks": ["ab" * 32], "temperature": 1.0},
        "groups": {"size": 5, "seed": 7},
    }
    return base | change


def create(root, **change):
    probes = {"rows": ROWS[:2], "pixels": np.zeros((2, 4), np.uint16), "labels": np.ones((2, 3))}
    return LabelStore.create(root, facts(**change), ROWS, IDS, probes, {"versions": {"x": "1"}})


def records(seed=0):
    probabilities = torch.rand(5, 3, generator=torch.Generator().manual_seed(seed)).softmax(1)
    return probabilities.view(torch.uint8)


@pytest.fixture
def store(tmp_path):
    made = create(tmp_path)
    for stream in (2, 0, 12):  # in any order
        made.write(stream, records(stream))
    return made


def test_streams_come_back(store):
    opened = LabelStore(store.folder)
    assert list(opened.streams()) == [0, 2, 12]
    for stream in (0, 2, 12):
        assert torch.equal(opened.read(stream), records(stream))
    assert opened.read(1) is None
    assert opened.verify() == []
    assert opened.samples.column("id").to_pylist() == IDS.tolist()
    assert opened.bytes_per_stream == 5 * 3 * 4


def test_what_is_done_to_labels_in_memory_stays_there(store):
    store.read(0).zero_()
    assert torch.equal(store.read(0), records(0))


def test_every_changed_byte_is_found(store):
    path = store.streams()[2]
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(LabelStoreError, match=rf"{path.name}: its content differs.*delete"):
            store.read(2)
    assert len(store.verify()) == 1
    beside = path.with_name(f"stream-00000.{'f' * 32}.labels")  # never read, but it is no label
    beside.write_bytes(content)
    assert len(store.verify()) == 2
    path.write_bytes(content[:-1])
    with pytest.raises(LabelStoreError, match="has 59 bytes instead of 60"):
        store.read(2)


def test_a_stream_under_another_number_or_in_another_store_is_refused(store, tmp_path):
    path = store.streams()[2]
    moved = path.with_name(path.name.replace("00002", "00003"))
    shutil.copy(path, moved)
    with pytest.raises(LabelStoreError, match="differs from what was written to this store"):
        store.read(3)
    other = create(tmp_path, refiner={"networks": ["cd" * 32], "temperature": 1.0})
    assert other.folder != store.folder
    shutil.copy(path, other.folder)
    with pytest.raises(LabelStoreError, match="differs from what was written to this store"):
        other.read(2)


def test_changed_facts_are_found(store):
    path = store.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["facts"]["refiner"]["temperature"] = 2.0
    path.write_text(json.dumps(manifest))
    with pytest.raises(LabelStoreError, match=r"manifest\.json: was modified.*delete the folder"):
        LabelStore(store.folder)


@pytest.mark.parametrize("other", [identity.FORMAT - 1, identity.FORMAT + 1])
def test_a_store_of_another_format_is_named(store, other):
    path = store.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["facts"] = {"format": other, "else": 1}
    manifest["key"] = identity.key(manifest["facts"])
    path.write_text(json.dumps(manifest))
    with pytest.raises(LabelStoreError, match=f"has format {other}, but this version reads"):
        LabelStore(store.folder)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        '{"key": 1}',
        "[]",
        '{"key": "00", "facts": [], "probes": "", "made_with": {}}',
        '{"key": "00", "facts": {"format": 1}, "probes": "", "made_with": null}',
    ],
)
def test_a_damaged_manifest_is_named(store, damage):
    (store.folder / "manifest.json").write_text(damage)
    with pytest.raises(LabelStoreError, match=r"manifest\.json: "):
        LabelStore(store.folder)


def test_a_folder_that_is_no_store_is_named(tmp_path):
    with pytest.raises(LabelStoreError, match=f"{tmp_path}: not a label store"):
        LabelStore(tmp_path)


@pytest.mark.parametrize(("name", "what"), [("probes.npz", "probes"), ("rows.parquet", "samples")])
def test_damaged_side_files_are_named(store, name, what):
    path = store.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with pytest.raises(LabelStoreError, match=name.replace(".", r"\.")):
        getattr(LabelStore(store.folder), what)
    assert any(name in line for line in LabelStore(store.folder).verify())
    path.unlink()
    with pytest.raises(LabelStoreError, match=name.replace(".", r"\.")):
        getattr(LabelStore(store.folder), what)


def test_any_changed_byte_of_the_rows_is_named(store):
    path = store.folder / "rows.parquet"
    content = path.read_bytes()
    told = 0
    for at in range(0, len(content), 3):
        changed = bytearray(content)
        changed[at] ^= 0x81  # no longer ASCII, so that ids may be no text at all
        path.write_bytes(changed)
        lines = LabelStore(store.folder).verify()
        assert all("rows.parquet: " in line and "\n" not in line for line in lines)
        told += len(lines)
    assert told > 100  # some bytes matter to nobody: they say who wrote the file


@pytest.mark.parametrize(
    "table", [{"a": [1]}, {"row": [1], "id": [None]}, {"row": ["x"], "id": ["y"]}]
)
def test_another_table_in_the_place_of_the_rows_is_named(store, table):
    pq.write_table(pa.table(table), store.folder / "rows.parquet")
    (line,) = LabelStore(store.folder).verify()
    assert "rows.parquet: " in line


def test_records_of_another_shape_are_refused(store):
    with pytest.raises(ValueError, match="expected"):
        store.write(1, records()[:4])


def test_a_store_is_made_once(store, tmp_path):
    assert create(tmp_path).folder == store.folder
    assert list(create(tmp_path).streams()) == [0, 2, 12]
    assert [path.name for path in tmp_path.iterdir()] == [store.folder.name]


def test_a_stream_is_made_by_one_of_many_threads(store):
    calls, found = [], []

    def make():
        calls.append(1)
        time.sleep(0.1)
        return records(5)

    def work():
        found.append(LabelStore(store.folder).get_or_create(5, make))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(found) == 4
    assert all(torch.equal(each, records(5)) for each in found)


WRITER = """
import sys, torch
from pathlib import Path
from tinyrefinery.labels.store.store import LabelStore
store = LabelStore(Path(sys.argv[1]))
print("ready", flush=True)
for stream in range(100_000):
    records = torch.full((len(store), 12), stream % 251, dtype=torch.uint8)
    store.get_or_create(stream, lambda: records)
"""
MANY = np.arange(200_000)  # labels of 2.4 MB a stream, so that a kill falls into the writing


def test_killed_writers_leave_whole_streams(tmp_path):
    ids = np.array([f"{row:064x}" for row in MANY], dtype=object)
    data = {"rows": len(MANY), "digest": identity.rows_digest(MANY, ids), "channels": 3}
    store = LabelStore.create(tmp_path, facts(data=data), MANY, ids, {}, {})
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.folder)],
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]
    for writer in writers:
        writer.stdout.readline()
    time.sleep(1)
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    there = list(store.streams())
    assert len(there) > 3
    assert store.verify() == []
    last = there[-1] + 1
    store.get_or_create(
        last, lambda: torch.zeros(len(MANY), 12, dtype=torch.uint8)
    )  # nothing is locked
    assert all((store.read(stream) == stream % 251).all() for stream in there)
    assert list(store.streams()) == list(range(last + 1))


def test_no_space_is_told_and_what_was_there_stays(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        store.get_or_create(7, lambda: records(7))
    monkeypatch.undo()
    assert list(store.streams()) == [0, 2, 12]
    assert store.verify() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"refiner": {"networks": ["cd" * 32], "temperature": 1.0}}, r"another refiner \(networks"),
        ({"refiner": {"networks": ["ab" * 32], "temperature": 2.0}}, r"temperature: 1.0, not 2.0"),
        ({"crops": {"kind": "pad", "seed": 8}}, r"other crops \(seed: 7, not 8\)"),
        ({"groups": None}, "other BN groups"),
        ({"labels": {"form": "float16", "top": 0}}, 'another form .*"float32", not "float16"'),
        ({"classes": ["cat", "dog", "fox"]}, "class 'fox' is missing from the store"),
        ({"classes": ["cat", "dog"]}, "class 'owl' of the store is missing from the data"),
        ({"classes": ["dog", "cat", "owl"]}, "other classes .in another order"),
        ({"data": {"rows": 4, "digest": "x", "channels": 3}}, "other images .*rows: 5, not 4"),
        ({"format": 1}, "another version of the format"),
    ],
)
def test_reasons_of_refusal(change, reason):
    (found,) = identity.differences(facts(), facts(**change))
    assert re.search(reason, found), found
    assert identity.key(facts()) != identity.key(facts(**change))
    assert identity.differences(facts(), facts()) == []


def test_labels_are_exported_for_people(store, tmp_path):
    path = tmp_path / "labels.parquet"
    assert export(store, path, [0, 12]) == 10
    table = pq.read_table(path)
    assert table.column("stream").to_pylist() == [0] * 5 + [12] * 5
    assert table.column("row").to_pylist() == ROWS.tolist() * 2
    expected = records(12).view(torch.float32).numpy()
    found = np.stack(table.column("probabilities").to_numpy()[5:])
    np.testing.assert_array_equal(found, expected)
    best = [CLASSES[i] for i in expected.argmax(1)]
    assert table.column("top_class").to_pylist()[5:] == best
    assert table.schema.metadata[b"classes"].decode().split("\n") == CLASSES
    with pytest.raises(LabelStoreError, match="has no stream 1"):
        export(store, path, [1])


def test_sparse_labels_are_exported_with_their_classes(tmp_path):
    store = create(tmp_path, labels={"form": "top", "top": 2})
    exact = torch.tensor([[0.7, 0.2, 0.1], [0, 1, 0], [0.1, 0.1, 0.8], [0, 0.5, 0.5], [1, 0, 0]])
    store.write(0, store.form.encode(exact))
    export(store, tmp_path / "labels.parquet", [0])
    table = pq.read_table(tmp_path / "labels.parquet").to_pylist()
    assert table[0]["classes"] == [0, 1]
    assert table[0]["top_class"] == "cat"
    assert table[0]["rest"] == pytest.approx(0.1, abs=0.003)
    assert table[2]["top_class"] == "owl"


def test_large_streams_are_exported_in_parts(store, tmp_path, monkeypatch):
    export(store, tmp_path / "whole.parquet", [0, 12])
    monkeypatch.setattr("tinyrefinery.labels.store.export.AT_ONCE", 2 * 3)
    assert export(store, tmp_path / "parts.parquet", [0, 12]) == 10
    file = pq.ParquetFile(tmp_path / "parts.parquet")
    assert file.metadata.num_row_groups == 6  # of two labels at most
    assert file.read().equals(pq.read_table(tmp_path / "whole.parquet"))


def test_a_stream_that_may_not_be_read_is_named(store, monkeypatch):
    def closed(path, **_):
        raise RuntimeError(
            f"unable to open file <{path}> in read-only mode: Permission denied (13)"
        )

    monkeypatch.setattr(torch, "from_file", closed)
    with pytest.raises(LabelStoreError, match=r"stream-00002.*: can't be read .*Permission denied"):
        store.read(2)


def test_all_stores_are_verified_where_one_is_damaged(tmp_path):
    one, other = create(tmp_path), create(tmp_path, groups=None)
    first, last = sorted((one, other), key=lambda each: each.folder)
    (first.folder / "manifest.json").write_text("{")
    last.write(0, records())
    told = CliRunner().invoke(app, ["label-store", "verify", str(tmp_path)])
    assert f"bad  {first.folder}\nok   {last.folder}: 1 streams\n" in told.output
    assert "manifest.json: not a readable manifest" in told.output
    assert told.exit_code == 2


def test_a_slip_in_a_range_of_streams_is_told_at_once(store, tmp_path):
    command = ["label-store", "export", str(store.folder), str(tmp_path / "x"), "--streams"]
    told = CliRunner().invoke(app, [*command, "0-4999999999999"])
    assert told.exit_code == 2
    assert "stream 4999999999999 is beyond any training" in told.output


def test_a_store_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/[0-9a-f]{16}: can't create it .*labels\.store"):
        create(tmp_path / "file")
