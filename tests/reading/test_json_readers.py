"""Every reader of JSON turns whatever is wrong with a text into one message."""

import json
import tarfile
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.pictures import class_folders, picture
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import read_decisions
from tinyrefinery.data_tests.reports.records import read as read_record
from tinyrefinery.errors import DataError, LabelStoreError, RefineryError
from tinyrefinery.labels.store.store import LabelStore
from tinyrefinery.reading.json_text import parse_json, read_json
from tinyrefinery.refiners.refiner_report import read_refiners
from tinyrefinery.review.label_studio import read_export
from tinyrefinery.review.queue import read_queue
from tinyrefinery.runs.stage_digests import read_done
from tinyrefinery.runs.stage_record import read_facts

DEEP = b"[" * 200_000
HOSTILE = {
    "deep": DEEP,
    "deep objects": b'{"a":' * 200_000,
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "a lone surrogate": b'{"a": "\xed\xa0\x80"}',
    "an integer of 70 bits": b'{"format": 1180591620717411303424}',
    "many digits": b'{"format": ' + b"9" * 6000 + b"}",
    "cut off": b'{"a": [1, 2',
    "empty": b"",
    "a number": b"17",
    "null": b"null",
    "binary": bytes(range(256)),
}


def jsonl(file):
    return open_data("folder", root=class_folders(file.parent))


def webdataset(file):
    shard = file.with_suffix(".tar")
    with tarfile.open(shard, "w") as tar:
        for name, content in {"a.png": picture(1), "a.json": file.read_bytes()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return open_data("webdataset", path=str(shard))


def store(file):
    return LabelStore(file.parent)


READERS = {
    "text": ("x.json", lambda file: parse_json(file.read_bytes(), file)),
    "records": ("tests.json", read_record),
    "refiners": ("refiners.json", read_refiners),
    "export": ("export.json", read_export),
    "queue": ("queue.jsonl", read_queue),
    "decisions": ("decisions.jsonl", lambda file: list(read_decisions(line(file)))),
    "done": ("done.json", lambda file: read_done(file.parent)),
    "facts": ("stage.json", lambda file: read_facts(file.parent)),
    "metadata": ("metadata.jsonl", jsonl),
    "webdataset": ("w.json", webdataset),
    "store": ("manifest.json", store),
}


def line(file):
    """A whole last line, since one that is cut off is ignored."""
    file.write_bytes(file.read_bytes() + b"\n")
    return file


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_json_is_one_message(tmp_path, reader, content):
    name, read = READERS[reader]
    file = tmp_path / "home" / name
    file.parent.mkdir()
    file.write_bytes(HOSTILE[content])
    if (reader, content) in {("text", "a number"), ("text", "null"), ("decisions", "empty")}:
        read(file)
        return
    with pytest.raises(RefineryError) as caught:
        read(file)
    assert str(file.parent) in str(caught.value)
    assert len(str(caught.value)) < 600


def test_values_of_64_bits_are_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([2**63 - 1, -(2**63), 1e300, True]))
    assert read_json(tmp_path / "a.json") == [2**63 - 1, -(2**63), 1e300, True]


def test_a_missing_file_and_a_name_that_none_can_have(tmp_path):
    for path in (tmp_path / "missing.json", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(DataError, match="can't be read"):
            read_json(path)


@pytest.mark.parametrize("seconds", ["soon", [1], {}, "NaN?"])
def test_a_lead_time_that_is_no_number(tmp_path, seconds):
    value = {"choices": ["cat"]}
    annotation = {"created_at": "2026-01-01T00:00:00Z", "lead_time": seconds}
    annotation["result"] = [{"from_name": "label", "type": "choices", "value": value}]
    task = {"data": {"uid": "a" * 64}, "annotations": [annotation]}
    (tmp_path / "e.json").write_text(json.dumps([task]))
    with pytest.raises(DataError, match=r"task 1: lead_time '.*' is not a number of seconds"):
        read_export(tmp_path / "e.json")


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-Infinity", "true"])
def test_decisions_take_finite_seconds(tmp_path, seconds):
    content = f'{{"uid": "{"a" * 64}", "verdict": "ok", "by": "a", "at": "2026-01-01T00:00:00Z"'
    (tmp_path / "d.jsonl").write_text(f'{content}, "seconds": {seconds}}}\n')
    with pytest.raises(DataError, match="'seconds' is not a number"):
        read_decisions(tmp_path / "d.jsonl")


@pytest.mark.parametrize("name", [".", "..", "a\0b", "", "/", "\n", "a" * 5000])
def test_file_names_that_no_picture_has(tmp_path, name):
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(picture(i))
    rows = [{"file_name": f"{i}.png", "label": "ab"[i % 2]} for i in range(6)]
    rows.append({"file_name": name, "label": "a"})
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = open_data("folder", root=tmp_path, validation=0)
    assert len(data.manifest) == 6
    assert [problem.kind for problem in data.problems].count("broken_image") == 1


def test_parquet_with_texts_for_bytes(tmp_path):
    rows = [{"bytes": f"text {i}", "path": f"{i}.png"} for i in range(4)]
    pq.write_table(pa.table({"image": rows, "label": [0, 1, 0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="images must be binary"):
        open_data("parquet", path=str(tmp_path / "a.parquet"))


def test_parquet_whose_paths_are_numbers(tmp_path):
    rows = pa.array([{"bytes": None, "path": 0}] * 4)
    pq.write_table(pa.table({"image": rows, "label": [0, 1, 0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="images must be binary"):
        open_data("parquet", path=str(tmp_path / "a.parquet"))


@pytest.mark.parametrize("pattern", ["{0..99999999999}", "{0..999}{0..999}", "{0..9}" * 40])
def test_shard_patterns_are_bounded(tmp_path, pattern):
    with pytest.raises(DataError, match="more than 100,000 shards"):
        open_data("webdataset", path=str(tmp_path / f"x-{pattern}.tar"))


def test_label_stores_refuse_what_is_no_manifest(tmp_path):
    (tmp_path / "manifest.json").write_bytes(DEEP)
    with pytest.raises(LabelStoreError, match="manifest"):
        LabelStore(tmp_path)
