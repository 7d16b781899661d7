"""Metadata files as people write them, and folders that are no classes."""

import os
from collections.abc import Iterator
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
    iterdir = Path.iterdir

    def look(path: Path) -> Iterator[Path]:
        if path.name == "test":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", look)
    with pytest.raises(DataError, match=r"test: can't be opened .*permissions"):
        open_data("folder", root=tmp_path)


ROWS = "file_name,label\n0.png,a\n1.png,b\n"
LINES = '{"file_name": "0.png", "label": "b"}\n{"file_name": "1.png", "label": "a"}\n'


@pytest.mark.parametrize("place", ["", "train", "test"])
@pytest.mark.parametrize(
    "names", [("metadata.csv", "metadata.jsonl"), ("Metadata.csv", "metadata.csv")]
)
def test_two_metadata_files_of_one_folder_are_refused(tmp_path: Path, place, names):
    """As by ImageFolder. Before, the CSV hid the other one."""
    splits = [""] if not place else ["train", "test"]
    for number, split in enumerate(splits):
        for i in range(2):
            write(tmp_path / split / f"{i}.png", picture(2 * number + i))
        write(tmp_path / split / "metadata.csv", ROWS.encode())
    for name in names:
        write(tmp_path / place / name, (ROWS if name.endswith("csv") else LINES).encode())
    if len(list((tmp_path / place).glob("[Mm]etadata.*"))) < 2:
        pytest.skip("this file system has one name for both")
    message = rf"{place or tmp_path.name}: has {names[0]} and {names[1]}, and only one"
    with pytest.raises(DataError, match=message):
        open_data("folder", root=tmp_path)


def test_a_metadata_file_is_read_in_any_case(tmp_path: Path):
    for i in range(2):
        write(tmp_path / f"{i}.png", picture(i))
    write(tmp_path / "Metadata.CSV", ROWS.encode())
    dataset = open_data("folder", root=tmp_path, validation=0)
    assert dataset.classes == ("a", "b")
    assert not dataset.problems


@pytest.mark.parametrize("name", ["metadata.csv", "Metadata.jsonl"])
def test_a_metadata_file_of_a_class_is_a_finding(tmp_path: Path, name: str):
    class_folders(tmp_path, 2)
    first = next(path for path in sorted(tmp_path.iterdir()) if path.is_dir())
    write(first / name, b"")
    found = open_data("folder", root=tmp_path, validation=0).problems
    assert [(p.kind, p.where) for p in found] == [("ignored_files", str(first / name))]
    assert "is not read: a metadata file counts in the root or in" in found[0].what


def test_what_a_folder_with_metadata_leaves_out_is_listed(tmp_path: Path):
    """Other formats, deeper metadata, and what is beside the splits. Before, all of it was lost."""
    for number, split in enumerate(["train", "test"]):
        for i in range(2):
            write(tmp_path / split / f"{i}.png", picture(2 * number + i))
        write(tmp_path / split / "metadata.csv", ROWS.encode())
    others = ["more/2.png", "3.png", "train/x/4.png"]
    for number, name in enumerate(others):
        write(tmp_path / name, picture(9 + number))
    write(tmp_path / "train" / "5.heic", b"")
    write(tmp_path / "train" / "x" / "metadata.csv", b"")
    found = open_data("folder", root=tmp_path, validation=0).problems
    unlisted = {p.where for p in found if p.kind == "unlisted_image"}
    assert unlisted == {str(tmp_path / name) for name in others}
    told = [f"{p.where} {p.what}" for p in found if p.kind == "ignored_files"]
    assert len(told) == 2
    assert str(tmp_path / "train" / "x" / "metadata.csv") in told[0]
    assert "1 file with another extension (ignored: 1 .heic" in told[1]


def test_pictures_of_a_class_that_is_no_text_are_counted(tmp_path: Path):
    class_folders(tmp_path, 2)
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        os.mkdir(odd)
    except OSError:
        pytest.skip("names of this file system are Unicode")
    for i in range(3):
        Path(os.fsdecode(odd), f"{i}.png").write_bytes(picture(20 + i))
    found = open_data("folder", root=tmp_path, validation=0).problems
    assert [p.what for p in found] == ["3 files or folders whose names are not UTF-8; rename them"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("Paella", "paella"), ["'Paella' and 'paella'"]),
        (("red car", "red_car", "Red-Car"), ["'Red-Car' and 'red car' and 'red_car'"]),
        (("caf\u00e9", "cafe\u0301"), ["'cafe\u0301' and 'caf\u00e9'"]),
        (("A", "a"), []),  # letters
        (("cat", "cats"), []),
    ],
)
def test_classes_that_differ_in_their_spelling_only(tmp_path: Path, names, found):
    for number, name in enumerate(names):
        for i in range(2):
            write(tmp_path / name / f"{i}.png", picture(2 * number + i))
    if len(list(tmp_path.iterdir())) < len(names):
        pytest.skip("this file system has one name for both")
    dataset = open_data("folder", root=tmp_path, validation=0, strict=True)
    assert len(dataset.classes) == len(names)
    assert [p.where for p in dataset.problems if p.kind == "alike_classes"] == found
