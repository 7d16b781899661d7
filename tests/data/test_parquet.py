"""Parquet files with images."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.pictures import picture, pixels
from tinyrefinery.data.class_names import number_labels
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError


def write_parquet(path: Path, seeds: range, labels: list, names: list[str] | None = None, **extra):
    """A file as `datasets` writes it: image struct, label, further columns, class names."""
    rows = [{"bytes": picture(seed), "path": f"{seed}.png"} for seed in seeds]
    table = pa.table({"image": rows, "label": labels, **extra})
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, path, row_group_size=3)
    return path


def test_splits_classes_and_further_columns(tmp_path: Path):
    names = ["zebra", "ant"]
    boxes = [[1, 2], [3, 4]] * 5
    train = write_parquet(
        *(tmp_path / "train.parquet", range(10), [0, 1] * 5, names),
        **{"weight": [0.5] * 10, "box": boxes, "raw": [b"x"] * 10, "id": list("abcdefghij")},
    )
    test = write_parquet(tmp_path / "test.parquet", range(20, 24), [0, 1, 1, 1], names)
    dataset = open_data("parquet", path={"train": train, "test": str(test)}, validation=0.2)
    manifest = dataset.manifest
    assert dataset.classes == ("zebra", "ant")
    assert [len(manifest.rows(s)) for s in ("train", "validation", "test")] == [8, 2, 4]
    np.testing.assert_array_equal(manifest.labels, [0, 1] * 5 + [0, 1, 1, 1])
    assert set(manifest.table.column_names) == {
        *("id", "path", "label", "split", "weight", "box", "source_id"),
    }
    assert manifest.column("path")[0] == "0.png"
    assert manifest.column("source_id")[3] == "d"
    assert manifest.column("source_id")[12] is None
    np.testing.assert_array_equal(manifest.column("box")[1], [3, 4])
    for row, seed in enumerate([*range(10), *range(20, 24)]):
        np.testing.assert_array_equal(dataset.images.pixels(row), pixels(seed))


def test_files_by_pattern_folder_and_list_are_the_same(tmp_path: Path):
    files = [
        write_parquet(tmp_path / f"train-{i}.parquet", range(i * 6, i * 6 + 6), list("ababab"))
        for i in range(3)
    ]
    opened = [
        open_data("parquet", path=given, resident="never").manifest
        for given in (files, str(tmp_path / "train-*.parquet"), tmp_path)
    ]
    assert len(opened[0]) == 18
    assert opened[0].digest == opened[1].digest == opened[2].digest


def test_binary_images_and_a_split_column(tmp_path: Path):
    path = tmp_path / "all.parquet"
    table = pa.table(
        {
            "pixels": [picture(i) for i in range(6)],
            "kind": ["dog", "cat"] * 3,
            "part": ["train"] * 4 + ["val", "test"],
        }
    )
    pq.write_table(table, path)
    dataset = open_data("parquet", path=path, image="pixels", label="kind", split="part")
    assert dataset.classes == ("cat", "dog")
    assert list(dataset.manifest.column("split")) == ["train"] * 4 + ["validation", "test"]
    assert dataset.manifest.column("path")[5] == f"{path}, row 5"


def test_groups_stay_together(tmp_path: Path):
    groups = [f"g{i // 4}" for i in range(80)]
    path = write_parquet(
        tmp_path / "all.parquet", range(80), [0, 1] * 40, group=groups, patient=groups[::-1]
    )
    for options, column in (({}, "group"), ({"group": "patient"}, "patient")):
        dataset = open_data("parquet", path=path, validation=0.25, **options)
        splits = dataset.manifest.column("split")
        per_group: dict[str, set[str]] = {}
        for name, split in zip(dataset.manifest.column(column), splits, strict=True):
            per_group.setdefault(name, set()).add(split)
        assert all(len(where) == 1 for where in per_group.values())
        assert len(dataset.manifest.rows("validation")) == 20


def test_a_group_in_two_given_splits_is_reported(tmp_path: Path):
    parts = {
        s: write_parquet(tmp_path / f"{s}.parquet", range(n, n + 2), [0, 1], group=["g", s])
        for n, s in ((0, "train"), (10, "test"))
    }
    dataset = open_data("parquet", path=parts, validation=0)
    assert [(p.kind, p.where) for p in dataset.problems] == [("group_across_splits", "g")]


def test_rows_without_a_label_or_an_image(tmp_path: Path):
    path = tmp_path / "x.parquet"
    images = [{"bytes": picture(i), "path": None} for i in range(4)] + [
        {"bytes": None, "path": None}
    ]
    pq.write_table(pa.table({"image": images, "label": [0, 1, None, -1, 1]}), path)
    dataset = open_data("parquet", path=path, validation=0)
    assert len(dataset.manifest) == 2
    assert sorted(p.kind for p in dataset.problems) == ["broken_image", *["missing_label"] * 2]


def test_only_so_many_rows(tmp_path: Path):
    path = write_parquet(tmp_path / "x.parquet", range(9), [0, 1, 0, 1, 0, 1, 0, 1, 0])
    assert len(open_data("parquet", path=path, limit=5).manifest) == 5


def test_missing_columns_are_named_with_the_nearest(tmp_path: Path):
    path = write_parquet(tmp_path / "x.parquet", range(2), [0, 1], lebal=[0, 1])
    with pytest.raises(DataError, match=r"x\.parquet: no column 'img'.* image, label, lebal\."):
        open_data("parquet", path=path, image="img")
    with pytest.raises(DataError, match=r"no column 'labels'.*Did you mean 'label'"):
        open_data("parquet", path=path, label="labels")
    with pytest.raises(DataError, match="column 'lebal' is int64; images must be binary"):
        open_data("parquet", path=path, image="lebal")
    with pytest.raises(DataError, match="no column 'part'"):
        open_data("parquet", path=path, split="part")


def test_damaged_files(tmp_path: Path):
    path = write_parquet(tmp_path / "x.parquet", range(20), [0, 1] * 10)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"x\.parquet: truncated, or not a Parquet file"):
        open_data("parquet", path=path)
    path.write_bytes(whole[:300] + bytes(400) + whole[700:])
    with pytest.raises(DataError, match=r"x\.parquet: truncated|no usable image"):
        open_data("parquet", path=path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"x\.parquet: the file is empty"):
        open_data("parquet", path=path)
    write_parquet(path, range(0), [])
    with pytest.raises(DataError, match=r"no rows|column 'image'"):
        open_data("parquet", path=path)


def test_what_is_not_there_is_named(tmp_path: Path):
    path = write_parquet(tmp_path / "x.parquet", range(4), [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"gone\.parquet: no such Parquet file"):
        open_data("parquet", path={"train": path, "test": tmp_path / "gone.parquet"})
    with pytest.raises(DataError, match="needs files for the split 'train'"):
        open_data("parquet", path={"test": path})
    with pytest.raises(DataError, match="no split is named 'trian'"):
        open_data("parquet", path={"trian": path})
    with pytest.raises(DataError, match=r"path: should be a file or a list of files, not \[\]"):
        open_data("parquet", path=[])


def test_one_class_is_refused(tmp_path: Path):
    path = write_parquet(tmp_path / "x.parquet", range(4), [7] * 4)
    with pytest.raises(DataError, match=r"one class only \(7\)"):
        open_data("parquet", path=path)


def test_files_that_name_other_classes_are_refused(tmp_path: Path):
    parts = {
        split: write_parquet(tmp_path / f"{split}.parquet", range(2), [0, 1], names)
        for split, names in (("train", ["a", "b"]), ("test", ["b", "a"]))
    }
    with pytest.raises(DataError, match="different classes"):
        open_data("parquet", path=parts)


@pytest.mark.parametrize(
    ("values", "names", "labels", "classes"),
    [
        ([3, 1, 10, 1], None, [1, 0, 2, 0], ("1", "3", "10")),
        (["b", "a", None, ""], None, [1, 0, -1, -1], ("a", "b")),
        ([0, 2, None, -5], ["x", "y", "z"], [0, 2, -1, -1], ("x", "y", "z")),
        (["y", "x"], ["x", "y"], [1, 0], ("x", "y")),
        ([True, False], None, [1, 0], ("0", "1")),
        ([1.0, 0.0], None, [1, 0], ("0", "1")),
        (pa.array(["q", "p", "q"]).dictionary_encode(), None, [1, 0, 1], ("p", "q")),
    ],
)
def test_numbering_of_labels(values, names, labels, classes):
    got, found = number_labels(pa.chunked_array([values]), names, "here")
    np.testing.assert_array_equal(got, labels)
    assert got.dtype == np.int64
    assert found == classes


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        ([0, 3], ["a", "b"], "here: label 3 has no name; there are 2 class names"),
        (["a", "c"], ["a", "b"], "label 'c' is not one of the classes"),
        ([0.5, 1.0], None, "not double"),
        ([[1], [2]], None, "not list"),
    ],
)
def test_labels_that_are_none(values, names, message):
    with pytest.raises(DataError, match=message):
        number_labels(pa.chunked_array([values]), names, "here")


def test_missing_numbers_are_missing_labels():
    labels, classes = number_labels(pa.chunked_array([[0.0, float("nan"), 1.0, None]]), None, "x")
    assert labels.tolist() == [0, -1, 1, -1]
    assert classes == ("0", "1")


def test_columns_of_views_are_read(tmp_path: Path):
    images = pa.array([picture(seed) for seed in range(4)], pa.binary_view())
    labels = pa.array(list("abab"), pa.string_view())
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "a.parquet")
    data = open_data("parquet", path=str(tmp_path / "a.parquet"), validation=0)
    assert data.classes == ("a", "b")
    assert len(data.manifest) == 4


def test_files_that_are_named_after_splits_are_those_splits(tmp_path: Path):
    for number in range(2):
        name = f"train-0000{number}-of-00002.parquet"
        write_parquet(tmp_path / name, range(number * 6, number * 6 + 6), list("ababab"))
    write_parquet(tmp_path / "test-00000-of-00001.parquet", range(20, 26), list("ababab"))
    for given in (tmp_path, str(tmp_path / "*.parquet")):
        dataset = open_data("parquet", path=given, validation=0)
        assert [len(dataset.manifest.rows(s)) for s in ("train", "test")] == [12, 6]
    only = open_data("parquet", path=str(tmp_path / "test-*.parquet"), validation=0)
    assert len(only.manifest.rows("train")) == 6
    write_parquet(tmp_path / "extra.parquet", range(30, 36), list("ababab"))
    with pytest.raises(DataError, match=r"splits test, train, and others, such as extra.parquet"):
        open_data("parquet", path=tmp_path)


def test_a_column_split_with_test_rows_names_the_splits(tmp_path: Path):
    splits = ["train"] * 6 + ["val", "val", "test", "test"]
    file = write_parquet(tmp_path / "all.parquet", range(10), list("ab") * 5, split=splits)
    dataset = open_data("parquet", path=file)
    assert [len(dataset.manifest.rows(s)) for s in ("train", "validation", "test")] == [6, 2, 2]
    mapped = open_data("parquet", path={"train": str(file)}, validation=0)
    assert len(mapped.manifest.rows("train")) == 10
    write_parquet(file, range(10), list("ab") * 5, split=["train"] * 9 + ["held"])
    assert len(open_data("parquet", path=file, validation=0).manifest.rows("train")) == 10
    write_parquet(file, range(10), list("ab") * 5, split=["train"] * 8 + ["test", "held"])
    with pytest.raises(DataError, match="unknown split 'held'"):
        open_data("parquet", path=file)


def test_files_whose_labels_are_of_other_kinds_are_named_as_such(tmp_path: Path):
    write_parquet(tmp_path / "a.parquet", range(6), list("ababab"))
    write_parquet(tmp_path / "b.parquet", range(6, 12), [0, 1] * 3)
    with pytest.raises(DataError, match=r"columns of the files don't match .*label"):
        open_data("parquet", path=tmp_path)
