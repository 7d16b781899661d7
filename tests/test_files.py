"""Crash-safe files."""

import pytest

from tinyrefinery.errors import StorageError
from tinyrefinery.files import write_atomic, writing


def test_text_and_bytes(tmp_path):
    write_atomic(tmp_path / "deep" / "a.txt", "grüße")
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "grüße"
    write_atomic(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path):
    write_atomic(tmp_path / "a", "old")
    with pytest.raises(KeyError), writing(tmp_path / "a") as aside:
        aside.write_text("half")
        raise KeyError("stop")
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/a: can't be written .*untouched") as caught:
        write_atomic(tmp_path / "file" / "a", "x")
    assert caught.value.exit_code == 4


def test_a_full_disk_is_named(tmp_path):
    # /dev/full is Linux's disk without space.
    with (
        pytest.raises(StorageError, match=r"a: can't be written \(No space left on device\)"),
        writing(tmp_path / "a"),
        open("/dev/full", "w") as full,
    ):
        full.write("x")
        full.flush()
