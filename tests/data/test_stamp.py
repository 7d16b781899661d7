"""The stamp of a source changes when its files do, and only then."""

import os

import pytest

from tinyrefinery.data.stamp import file_stamps, source_stamp


@pytest.fixture
def root(tmp_path):
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "metadata.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


CHANGES = {
    "a new file": lambda root: (root / "b" / "4.jpg").write_text("x"),
    "a file gone": lambda root: (root / "b" / "3.jpg").unlink(),
    "another name": lambda root: (root / "b" / "3.jpg").rename(root / "b" / "5.jpg"),
    "another size": lambda root: (root / "metadata.csv").write_text("longer than before"),
    "another time": lambda root: os.utime(root / "metadata.csv", (1, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(root, change):
    before = source_stamp({"root": str(root), "name": "folder"})
    assert source_stamp({"root": str(root), "channels": 3}) == before
    CHANGES[change](root)
    assert source_stamp({"root": str(root)}) != before


def test_hidden_files_do_not_count(root):
    before = source_stamp({"root": str(root)})
    (root / ".cache").mkdir()
    (root / ".cache" / "x").write_text("x")
    (root / ".DS_Store").write_text("x")
    assert source_stamp({"root": str(root)}) == before


@pytest.mark.parametrize(
    "form", ["{0}/a/1.jpg", "{0}/a/*.jpg", "{0}/a/{{1..2}}.jpg", ["{0}/a/1.jpg"], "dict"]
)
def test_files_patterns_and_mappings(root, form):
    if form == "dict":
        path = {"train": str(root / "a" / "1.jpg"), "test": [str(root / "b")]}
    else:
        texts = [form] if isinstance(form, str) else form
        path = [text.format(root) for text in texts]
    before = source_stamp({"path": path})
    os.utime(root / "a" / "1.jpg", (1, 1))
    assert source_stamp({"path": path}) != before


def test_what_is_no_file_has_the_stamp_of_none():
    empty = source_stamp({})
    assert source_stamp({"path": "someone/images"}) == empty
    assert source_stamp({"root": None, "train": 6000}) == empty


def test_a_list_of_images_to_leave_out_counts(tmp_path):
    leave_out = tmp_path / "leaks.txt"
    leave_out.write_text("a.png\n")
    before = source_stamp({"exclude": str(leave_out)})
    leave_out.write_text("a.png\nb.png\n")
    assert source_stamp({"exclude": str(leave_out)}) != before


def test_a_file_has_one_stamp_however_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    file = tmp_path / "a" / "x.png"
    file.write_bytes(b"123")
    monkeypatch.chdir(tmp_path / "a")
    names = [
        str(file),
        "x.png",
        "./x.png",
        "b/../x.png",
        str(tmp_path / "a" / "b" / ".." / "x.png"),
    ]
    expected = f"{file}\x1f3\x1f{file.stat().st_mtime_ns}"
    assert file_stamps(names) == [expected] * len(names)
    assert file_stamps(["gone.png", "x\0.png"]) == ["gone.png\x1fmissing", "x\0.png\x1fmissing"]
    (folder,) = file_stamps(["b/.."])
    assert folder.startswith(f"{tmp_path / 'a'}\x1f")
