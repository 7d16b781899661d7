"""Columns: types that people mean, further files joined by id or path."""

import numpy as np
import pyarrow as pa
import pytest

from tests.data_tests.cases import manifest
from tinyrefinery.data_tests.rows import endings, read_columns, rows_of, typed
from tinyrefinery.errors import DataError, DataTestError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2.5", "", None], [1.0, 2.5, None, None]),
        (["-3", "+4e2", " 5 ", "0"], [-3.0, 400.0, 5.0, 0.0]),
        (["007", "012"], ["007", "012"]),
        (["0.5", "00.5"], ["0.5", "00.5"]),
        (["1", "x"], ["1", "x"]),
        (["true", "False", ""], [True, False, None]),
        (["true", "maybe"], ["true", "maybe"]),
        (["", "", None], [None, None, None]),
        (["nan", "1"], [None, 1.0]),
        (["night", "n"], ["night", "n"]),
        ([1, 2, None], [1.0, 2.0, None]),
        ([1.5, float("nan")], [1.5, None]),
        ([True, None], [True, None]),
        ([None, None], [None, None]),
    ],
)
def test_text_that_is_numbers_is_read_as_numbers(values, expected):
    assert typed(pa.chunked_array([pa.array(values)])).to_pylist() == expected


def test_other_types():
    words = pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode()])
    assert typed(words).to_pylist() == ["a", "b", "a"]
    assert typed(pa.chunked_array([[b"x"]])) is None
    assert typed(pa.chunked_array([[[1, 2]]])) is None
    day = pa.chunked_array([pa.array([0], pa.date32())])
    assert typed(day).to_pylist() == ["1970-01-01"]


def test_labels_are_names():
    rows = rows_of(manifest(4, distance_m=["1", "2", "", "7.5"]))
    assert rows.columns.column("label").to_pylist() == ["no_person", "person"] * 2
    assert rows.columns.column("distance_m").to_pylist() == [1.0, 2.0, None, 7.5]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tags.csv", "path,pose\nrooms/0001.jpg,back\ncoats/0000.jpg,\n"),
        ("tags.csv", '"file_name","pose"\r\n./0001.jpg,back\r\n'),
        ("tags.csv", "\ufeffid,pose\n" + f"{1:064x},back\n"),
        ("tags.jsonl", '{"path": "photos/rooms/0001.jpg", "pose": "back"}\n'),
    ],
)
def test_further_columns(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    rows = rows_of(manifest(6), [read_columns(tmp_path / name)])
    assert rows.columns.column("pose").to_pylist() == [None, "back", None, None, None, None]


def test_further_columns_from_parquet_keep_their_order(tmp_path):
    import pyarrow.parquet as pq

    order = np.random.default_rng(0).permutation(50)
    table = pa.table({"id": [f"{i:064x}" for i in order], "number": order})
    pq.write_table(table, tmp_path / "numbers.parquet")
    rows = rows_of(manifest(50), [read_columns(tmp_path / "numbers.parquet")])
    assert rows.columns.column("number").to_pylist() == list(range(50))


def test_an_end_of_a_path_that_two_images_share_is_refused():
    there = manifest(4, path=["train/a/1.jpg", "train/b/1.jpg", "train/b/.1.jpg", "2.jpg"])
    short, long = ({"path": [p], "pose": ["back"]} for p in ("1.jpg", "b/1.jpg"))
    with pytest.raises(DataTestError, match=r"may be train/a/1\.jpg or train/b/1\.jpg: write more"):
        rows_of(there, [pa.table(short)])
    poses = rows_of(there, [pa.table(long)]).columns.column("pose").to_pylist()
    assert poses == [None, "back", None, None]
    copies = manifest(2, path=["train/1.jpg", "test/1.jpg"], id=["0" * 64] * 2)
    assert rows_of(copies, [pa.table(short)]).columns.column("pose").to_pylist() == ["back"] * 2


def test_numbered_paths_stay_text():
    from tinyrefinery.data_tests.slices import matching

    numbered = rows_of(manifest(3, path=["0", "1", "2"]))
    assert numbered.columns.column("path").to_pylist() == ["0", "1", "2"]
    assert matching(numbered.columns, ("1",)).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"pose": ["x"]}, "add one of id, path, file_name"),
        ({"path": ["a.jpg", "a.jpg"], "pose": ["x", "y"]}, "two lines have the path 'a.jpg'"),
        ({"path": ["photos/rooms/0001.jpg"], "label": ["x"]}, "already has a column 'label'"),
        ({"path": ["other.jpg"], "pose": ["x"]}, "no 'path' matches an image"),
    ],
)
def test_further_columns_that_do_not_fit(table, said):
    with pytest.raises(DataTestError, match=said):
        rows_of(manifest(4), [pa.table(table)])


def test_a_column_that_stands_twice_is_told():
    path = rows_of(manifest(4)).columns.column("path")[0].as_py()
    arrays = [pa.array(each) for each in ([path], ["x"], ["y"])]
    with pytest.raises(DataTestError, match="two columns 'pose'"):
        rows_of(manifest(4), [pa.table(arrays, names=["path", "pose", "pose"])])


@pytest.mark.parametrize(("name", "text"), [("a.csv", None), ("a.parquet", "x"), ("a.jsonl", "{")])
def test_files_that_can_not_be_read(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="can't be read as a table"):
        read_columns(tmp_path / name)


def test_endings_begin_at_a_folder_and_the_longest_counts():
    paths = ["/d/a/x.jpg", "/d/b/x.jpg", "/d/xx.jpg"]
    assert endings(paths, {"x.jpg"}) == {"/d/a/x.jpg": "x.jpg", "/d/b/x.jpg": "x.jpg"}
    assert endings(paths, {"x.jpg", "b/x.jpg"})["/d/b/x.jpg"] == "b/x.jpg"
    assert endings(paths, set()) == {}
