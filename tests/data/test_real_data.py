"""Sources on real images, a slice of each set; skipped where the sets are not at hand."""

from collections import Counter
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tests.real import real_data
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import EncodedImages, ResidentImages
from tinyrefinery.data.open import open_data


def assert_pixels_are_pillows(dataset: Dataset, image_rows: dict[str, bytes]) -> None:
    """Some rows, found again in the source by path, against Pillow."""
    for row in range(0, len(dataset.manifest), max(1, len(dataset.manifest) // 20)):
        data = image_rows[dataset.manifest.column("path")[row]]
        assert dataset.manifest.column("id")[row] == sha256(data).hexdigest()
        expected = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        difference = np.abs(dataset.images.pixels(row).astype(int) - expected)
        assert difference.max() <= 3  # two builds of libjpeg-turbo


def contents(*files: Path) -> dict[str, bytes]:
    rows = [row for f in files for row in pq.read_table(f, columns=["image"])[0].to_pylist()]
    return {row["path"]: row["bytes"] for row in rows}


def test_cifar10():
    files = [real_data("cifar10/train.parquet"), real_data("cifar10/test.parquet")]
    dataset = open_data("parquet", path={"train": files[0], "test": files[1]}, limit=3000)
    assert dataset.classes[:2] == ("airplane", "automobile")
    assert isinstance(dataset.images, ResidentImages)
    assert tuple(dataset.images.array.shape) == (6000, 3, 32, 32)
    assert {p.kind for p in dataset.problems} == {"near_copies"}
    validation = np.bincount(dataset.manifest.labels[dataset.manifest.rows("validation")])
    train = np.bincount(dataset.manifest.labels[dataset.manifest.rows("train")])
    assert np.abs(validation / (train + validation) - 0.1).max() < 0.003
    assert_pixels_are_pillows(dataset, contents(*files))


def test_imagenette():
    files = [real_data("imagenette128/train.parquet"), real_data("imagenette128/val.parquet")]
    dataset = open_data(
        "parquet", path={"train": files[0], "test": files[1]}, limit=300, resident="never"
    )
    assert len(dataset.classes) == 10
    assert isinstance(dataset.images, EncodedImages)
    assert "noisy_label_50" in dataset.manifest.table.column_names
    assert_pixels_are_pillows(dataset, contents(*files))


def test_person_crops_are_split_by_group_and_mirror_images_stay_together():
    dataset = open_data("parquet", path=real_data("person_crops/all.parquet"), resident="never")
    manifest = dataset.manifest
    for column in ("group", "mirror_key"):
        splits: dict[str, set[str]] = {}
        for name, split in zip(manifest.column(column), manifest.column("split"), strict=True):
            splits.setdefault(name, set()).add(split)
        assert all(len(where) == 1 for where in splits.values())
    labels = manifest.labels[manifest.rows("validation")]
    assert abs(len(labels) / len(manifest) - 0.1) < 0.01
    assert abs(labels.mean() - manifest.labels.mean()) < 0.02
    # Exact copies that the set itself puts into different groups.
    kinds = {p.kind for p in dataset.problems}
    assert kinds == {"duplicate_across_splits", "near_copies", "nearly_black", "one_color"}


def test_tiny_imagenet_with_its_real_faults():
    paths = {
        s: real_data(f"tiny_imagenet100/{n}.parquet")
        for s, n in (("train", "train"), ("test", "val"))
    }
    dataset = open_data("parquet", path=paths, resident="never")
    kinds = Counter(p.kind for p in dataset.problems)
    assert kinds == {"duplicate_across_splits": 2, "conflicting_labels": 1, "near_copies": 1}
    assert len(dataset.manifest.rows("test")) == 2000
    conflict = next(p for p in dataset.problems if p.kind == "conflicting_labels")
    assert "n03179701_430" in conflict.where
    assert "n03085013_302" in conflict.where
    assert dataset.images.pixels(0).shape == (64, 64, 3)
    grey = sum(
        Image.open(BytesIO(dataset.images.encoded(row))).mode == "L"
        for row in range(0, len(dataset.manifest), 20)
    )
    assert grey > 0


def test_food_has_photographs_of_many_sizes():
    path = {"train": real_data("food3/train.parquet"), "test": real_data("food3/test.parquet")}
    dataset = open_data("parquet", path=path, limit=200)
    assert isinstance(dataset.images, EncodedImages)
    assert dataset.images.sizes.min() >= 100
    assert len(np.unique(dataset.images.sizes, axis=0)) > 5
    for row in (0, len(dataset.manifest) - 1):
        assert dataset.images.pixels(row).shape[:2] == tuple(dataset.images.sizes[row])
