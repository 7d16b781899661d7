"""Data sets through the `datasets` library, made on this machine."""

import builtins
from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import class_folders, picture, pixels, write
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache in this test's folder, no network, no bars."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def saved(folder: Path) -> Path:
    """A data set with columns that aren't called image and label, as `save_to_disk` writes it."""
    features = datasets.Features(
        {
            "n": datasets.Value("int64"),
            "img": datasets.Image(),
            "kind": datasets.ClassLabel(names=["x", "y"]),
        }
    )
    parts = {}
    for split, seeds in (("train", range(10)), ("validation", range(20, 24))):
        columns = {
            "n": list(seeds),
            "img": [{"bytes": picture(s), "path": None} for s in seeds],
            "kind": [s % 2 for s in seeds],
        }
        parts[split] = datasets.Dataset.from_dict(columns, features=features)
    parts["train"] = parts["train"].select([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return folder


def test_a_saved_data_set_finds_its_own_columns(tmp_path: Path):
    dataset = open_data("hugging_face", path=str(saved(tmp_path / "set")))
    assert dataset.classes == ("x", "y")
    assert [len(dataset.manifest.rows(s)) for s in ("train", "validation", "test")] == [10, 4, 0]
    for row, seed in enumerate([*range(9, -1, -1), *range(20, 24)]):
        np.testing.assert_array_equal(dataset.images.pixels(row), pixels(seed))
        assert dataset.manifest.labels[row] == seed % 2
        assert dataset.manifest.column("n")[row] == seed


def test_their_validation_can_be_our_test(tmp_path: Path):
    splits = {"train": "train", "test": "validation"}
    dataset = open_data(
        "hugging_face", path=str(saved(tmp_path / "set")), splits=splits, validation=0.2
    )
    assert [len(dataset.manifest.rows(s)) for s in ("train", "validation", "test")] == [8, 2, 4]


def test_image_folder_keeps_files(tmp_path: Path):
    class_folders(tmp_path / "pics", 5)
    write(tmp_path / "pics" / "cat" / "zero.png", b"")
    dataset = open_data(
        "hugging_face", path="imagefolder", data_dir=str(tmp_path / "pics"), resident="never"
    )
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.manifest) == 10
    assert [p.kind for p in dataset.problems] == ["broken_image"]
    for row, path in enumerate(dataset.manifest.column("path")):
        seed = int(Path(path).stem) + 1000 * (Path(path).parent.name == "dog")
        np.testing.assert_array_equal(dataset.images.pixels(row), pixels(seed))


def test_what_is_wrong_is_named(tmp_path: Path):
    folder = str(saved(tmp_path / "set"))
    with pytest.raises(DataError, match=r"no split 'tset'; it has train, validation"):
        open_data("hugging_face", path=folder, splits={"train": "tset"})
    with pytest.raises(DataError, match=r"no column 'knd'.*Did you mean 'kind'"):
        open_data("hugging_face", path=folder, label="knd")
    with pytest.raises(DataError, match="nobody/nothing: the dataset can't be loaded"):
        open_data("hugging_face", path="nobody/nothing")
    bare = datasets.Dataset.from_dict({"text": ["a", "b"]})
    bare.save_to_disk(str(tmp_path / "bare"))
    with pytest.raises(DataError, match=r"no column has the type Image.*text"):
        open_data("hugging_face", path=str(tmp_path / "bare"))
    with pytest.raises(DataError, match="no column has the type ClassLabel"):
        open_data("hugging_face", path=str(tmp_path / "bare"), image="text")


def test_without_the_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *args, **keywords):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match="pip install"):
        open_data("hugging_face", path="any")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (("all",), "no training split; it has all.*splits="),
        (("train", "validation", "dev"), "'validation' and 'dev' are both validation"),
    ],
)
def test_splits_that_are_missing_or_twice_are_named(tmp_path: Path, splits, message):
    import datasets

    rows = {"image": [picture(i) for i in range(4)], "label": [0, 1, 0, 1]}
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    one = datasets.Dataset.from_dict(rows, datasets.Features(features))
    datasets.DatasetDict(dict.fromkeys(splits, one)).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match=message):
        open_data("hugging_face", path=str(tmp_path / "saved"))


def test_a_damaged_arrow_file_does_not_end_the_process(tmp_path: Path):
    """Offsets that point beyond the file: Arrow follows them unless it is told to check."""
    folder = saved(tmp_path / "set")
    (file,) = (folder / "train").glob("*.arrow")
    content = file.read_bytes()
    offsets = (
        np.cumsum([0, *(len(picture(s)) for s in reversed(range(10)))]).astype("<i4").tobytes()
    )
    assert content.count(offsets) == 1
    file.write_bytes(content.replace(offsets, offsets[:8] + b"\xff\xff\xff\x7f" * 9))
    with pytest.raises(DataError, match=r"split train: the Arrow files are damaged.*again"):
        open_data("hugging_face", path=str(folder), validation=0)


def test_splits_that_are_not_used_are_listed(tmp_path: Path):
    loaded = datasets.load_from_disk(str(saved(tmp_path / "set")))
    loaded["extra"] = loaded["train"].select(range(3))
    loaded.save_to_disk(str(tmp_path / "three"))
    dataset = open_data("hugging_face", path=str(tmp_path / "three"))
    assert [(p.where, p.what) for p in dataset.problems if p.kind == "ignored_files"] == [
        (
            f"{tmp_path / 'three'}, split extra",
            "3 images of a split that is neither train, validation nor test",
        )
    ]
    chosen = open_data("hugging_face", path=str(tmp_path / "three"), splits={"train": "extra"})
    assert not [p for p in chosen.problems if p.kind == "ignored_files"]
