"""Crash-safe files."""

import errno
import os
from pathlib import Path

import pyarrow.csv
import pytest

from tinyrefinery.errors import RefineryError, StorageError
from tinyrefinery.files import atomic_file, check_writable, read_csv, write_atomic, write_csv


def test_text_and_bytes(tmp_path):
    write_atomic(tmp_path / "deep" / "a.txt", "grüße")
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "grüße"
    write_atomic(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path):
    write_atomic(tmp_path / "a", "old")
    with pytest.raises(KeyError), atomic_file(tmp_path / "a") as aside:
        aside.write_text("half")
        raise KeyError("stop")
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/a: is not writable .*unchanged") as caught:
        write_atomic(tmp_path / "file" / "a", "x")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_folder_in_the_place_of_the_file_is_named(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="is not writable"):
        write_atomic(Path(place), "x")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(tmp_path):
    # /dev/full is Linux's disk without space.
    with (
        pytest.raises(StorageError, match=r"a: is not writable \(No space left on device\)"),
        atomic_file(tmp_path / "a"),
        open("/dev/full", "w") as full,
    ):
        full.write("x")
        full.flush()


def test_tables(tmp_path):
    rows = [{"a": 0.1 + 0.2, "b": 'x, "y"\nz'}, {"b": "grüße"}, [None, 3]]
    write_csv(tmp_path / "t.csv", ["a", "b"], rows)
    several_lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
    read = pyarrow.csv.read_csv(tmp_path / "t.csv", parse_options=several_lines).to_pydict()
    assert read == {"a": [0.1 + 0.2, None, None], "b": ['x, "y"\nz', "grüße", "3"]}
    assert [row["a"] for row in read_csv(tmp_path / "t.csv")] == [repr(0.1 + 0.2), "", ""]


@pytest.mark.parametrize("row", [{"a": 1, "c": 2}, [1], [1, 2, 3]])
def test_a_table_with_a_wrong_row_is_not_written(tmp_path, row):
    with pytest.raises(ValueError, match=r"t\.csv: .*(columns named \['c'\]|values for 2)"):
        write_csv(tmp_path / "t.csv", ["a", "b"], [row])
    assert not list(tmp_path.iterdir())


def test_places_that_can_be_written_are_taken_and_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("old")
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    check_writable(files=[None, tmp_path / "there", tmp_path / "a" / "b", Path("c"), Path("loose")])
    check_writable(folders=[None, tmp_path, tmp_path / "a" / "b", Path("c/d"), Path()])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["loose", "there"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"files": ["folder"]}, "folder: is not writable: it is a folder, not a file"),
        ({"files": ["file/a/b"]}, "file/a/b: is not writable: file is a file, not a"),
        ({"files": ["/dev/null"]}, "/dev/null: is not writable: it is a device, not a"),
        ({"files": ["x" * 999]}, "is not writable: File name too long"),
        ({"files": ["loop/x"]}, "loop"),
        ({"folders": ["file"]}, "file: is not writable: it is a file, not a folder"),
        ({"folders": ["file/a"]}, "file/a: is not writable: file is a file, not a folder"),
        ({"folders": ["loose"]}, "loose: is not writable: it is a broken link"),
        ({"files": [None, "ok"], "folders": ["file"]}, "file: is not writable"),
    ],
)
def test_places_that_can_not_be_written(asked, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    places = {kind: [each and Path(each) for each in paths] for kind, paths in asked.items()}
    with pytest.raises(RefineryError) as caught:
        check_writable(**places)
    assert told in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(RefineryError, match=f"no permission to write to {tmp_path}"):
        check_writable(files=[tmp_path / "new" / "a"])


def test_a_place_without_permission_is_an_error_of_storage(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageError, match=r"x: is not writable: no permission to write to"):
        check_writable(files=[tmp_path / "x"])


def test_the_remedy_for_a_missing_permission_is_not_disk_space(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match=r"unchanged\. Change the folder's permissions or cho"):
        write_atomic(tmp_path / "a", "")
