"""Metadata files as people write them, and folders that are no classes."""

from pathlib import Path

import pytest

from tests.data.pictures import class_folders, picture, write
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "file_name;label;x\n0.png;a;1,5\n1.png;b;2\n",
        "file_name\tlabel\tx\r\n0.png\ta\t1,5\r\n1.png\tb\t2\r\n",
        'file_name, label, x\n0.png, a, "1,5"\n1.png, b, 2\n',
    ],
    ids=["semicolons", "tabs", "spaces"],
)
def test_metadata_as_spreadsheets_write_it(tmp_path: Path, text: str):
    for i in range(2):
        write(tmp_path / f"{i}.png", picture(i))
    write(tmp_path / "metadata.csv", text.encode())
    dataset = open_data("folder", root=tmp_path, validation=0)
    assert dataset.classes == ("a", "b")
    assert list(dataset.manifest.column("x")) == ["1,5", "2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("csv", "file_name,label\n0.png,é\n".encode("cp1252"), r"byte 22\). Save it as UTF-8"),
        ("csv", "file_name,label\n0.png,a\n".encode("utf-16"), r"byte 0\). Save it as UTF-8"),
        ("csv", b"file_name,label,label\n0.png,a,b\n", "two columns 'label'. Rename"),
        (
            "jsonl",
            b'{"file_name": "0.png", "label": "a"}\n{"file_name": "1.png", "label": 3}',
            "column 'label' is str and, in entry 2, int. Write it as one kind",
        ),
    ],
)
def test_metadata_that_is_refused_says_what_to_do(tmp_path: Path, name, content, message):
    for i in range(2):
        write(tmp_path / f"{i}.png", picture(i))
    write(tmp_path / f"metadata.{name}", content)
    with pytest.raises(DataError, match=message):
        open_data("folder", root=tmp_path)


def test_nan_in_metadata_is_a_missing_label(tmp_path: Path):
    for i in range(3):
        write(tmp_path / f"{i}.png", picture(i))
    labels = ['"a"', '"b"', "NaN"]
    lines = [f'{{"file_name": "{i}.png", "label": {label}}}' for i, label in enumerate(labels)]
    write(tmp_path / "metadata.jsonl", "\n".join(lines).encode())
    dataset = open_data("folder", root=tmp_path, validation=0)
    assert dataset.classes == ("a", "b")
    assert [p.kind for p in dataset.problems] == ["missing_label"]


@pytest.mark.parametrize("names", [("train_set", "test_set"), ("seg_train", "seg_test", "val2")])
def test_folders_that_are_called_like_splits_are_no_classes(tmp_path: Path, names):
    for number, name in enumerate(names):
        for kind in "ab":
            write(tmp_path / name / kind / "x.png", picture(2 * number + "ab".index(kind)))
    with pytest.raises(DataError, match=r"like splits. Rename them to train, validation and test"):
        open_data("folder", root=tmp_path)


def test_an_empty_root_is_not_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(class_folders(tmp_path, 2))
    with pytest.raises(DataError, match=r"root: is empty. Give the folder of pictures, or ."):
        open_data("folder", root="")


def test_a_split_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class_folders(tmp_path / "train", 2)
    class_folders(tmp_path / "test", 2)
    exists = Path.exists

    def look(path: Path, **options: bool) -> bool:
        if path.parent.name == "test":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path, **options)

    monkeypatch.setattr(Path, "exists", look)
    with pytest.raises(DataError, match=r"test/metadata.csv: can't be opened .*permissions"):
        open_data("folder", root=tmp_path)
