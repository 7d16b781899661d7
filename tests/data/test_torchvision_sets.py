"""torchvision's sets, from tiny files in the formats on disk."""

import json
import pickle
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets as tv

from tests.data.pictures import picture, pixels, write
from tinyrefinery.data.images import EncodedImages, ResidentImages
from tinyrefinery.data.open import open_data
from tinyrefinery.data.sources import torchvision_sets
from tinyrefinery.errors import DataError


def arrays(seeds: range) -> np.ndarray:
    return np.stack([pixels(seed, 32, 32) for seed in seeds])


def sizes(dataset) -> list[int]:
    return [len(dataset.manifest.rows(s)) for s in ("train", "validation", "test")]


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch, fine: bool) -> None:
    """Batches of 20 training and 10 test images, with torchvision's checksums set to theirs."""
    kind = tv.CIFAR100 if fine else tv.CIFAR10
    key = "fine_labels" if fine else "labels"
    names = ["train"] if fine else [f"data_batch_{i}" for i in range(1, 6)]
    classes = [f"class{i}" for i in range(10)]
    each = 20 // len(names)
    contents = {"test" if fine else "test_batch": (range(100, 110), range(10))}
    for i, name in enumerate(names):
        contents[name] = (
            range(i * each, i * each + each),
            [s % 10 for s in range(i * each, i * each + each)],
        )
    sums = {}
    for name, (seeds, labels) in contents.items():
        planes = arrays(seeds).transpose(0, 3, 1, 2).reshape(len(seeds), -1)
        content = pickle.dumps({"data": planes, key: list(labels)})
        write(root / kind.base_folder / name, content)
        sums[name] = md5(content).hexdigest()
    meta_key = "fine_label_names" if fine else "label_names"
    meta = pickle.dumps({meta_key: classes})
    meta_name = "meta" if fine else "batches.meta"
    write(root / kind.base_folder / meta_name, meta)
    monkeypatch.setattr(kind, "train_list", [[n, sums[n]] for n in names])
    monkeypatch.setattr(kind, "test_list", [[n, sums[n]] for n in sums if n not in names])
    monkeypatch.setattr(
        kind, "meta", {"filename": meta_name, "key": meta_key, "md5": md5(meta).hexdigest()}
    )


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_cifar(tmp_path, monkeypatch, fine=name == "cifar100")
    # The test pictures are two gradients each, which share their detail.
    dataset = open_data(name, root=tmp_path, near_copies="apart")
    assert sizes(dataset) == [10, 10, 10]  # two of a class: one validates
    assert dataset.classes[3] == "class3"
    assert isinstance(dataset.images, ResidentImages)
    for row, seed in enumerate([*range(20), *range(100, 110)]):
        np.testing.assert_array_equal(dataset.images.pixels(row), pixels(seed, 32, 32))
        assert dataset.manifest.labels[row] == seed % 10
    again = open_data(name, root=str(tmp_path), channels=1)
    assert list(again.manifest.column("id")) == list(dataset.manifest.column("id"))
    assert again.images.pixels(0).shape == (32, 32, 1)


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lists = {}
    for split, seeds in (("train", range(20)), ("test", range(50, 60))):
        path = tmp_path / f"{split}_32x32.mat"
        labels = np.array([s % 10 or 10 for s in seeds], np.uint8)[:, None]  # 10 stands for 0
        scipy.io.savemat(path, {"X": arrays(seeds).transpose(1, 2, 3, 0), "y": labels})
        lists[split] = ["", path.name, md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(tv.SVHN, "split_list", lists)
    dataset = open_data("svhn", root=tmp_path, validation=0)
    assert dataset.classes == tuple("0123456789")
    assert sizes(dataset) == [20, 0, 10]
    np.testing.assert_array_equal(dataset.manifest.labels, [*range(10)] * 3)
    np.testing.assert_array_equal(dataset.images.pixels(21), pixels(51, 32, 32))


def test_food101(tmp_path: Path):
    base = tmp_path / "food-101"
    lists: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for split, offset, n in (("train", 0, 4), ("test", 10, 2)):
        for far, name in ((0, "waffles"), (100, "apple_pie")):
            lists[split][name] = [f"{name}/{offset + i + far}" for i in range(n)]
            for i in range(n):
                seed = offset + i + far
                write(base / "images" / name / f"{seed}.jpg", picture(seed, 8, 8 + i, "jpeg"))
    for split, content in lists.items():
        write(base / "meta" / f"{split}.json", json.dumps(content).encode())
    (base / "images" / "waffles" / "1.jpg").write_bytes(b"")
    dataset = open_data("food101", root=tmp_path, validation=0)
    assert dataset.classes == ("apple_pie", "waffles")
    assert sizes(dataset) == [7, 0, 4]
    assert isinstance(dataset.images, EncodedImages)
    assert [p.kind for p in dataset.problems] == ["broken_image"]
    for row, path in enumerate(dataset.manifest.column("path")):
        assert Path(path).read_bytes() == dataset.images.encoded(row)
        assert dataset.classes[dataset.manifest.labels[row]] == Path(path).parent.name


def test_imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wnids = {"n02": ("crane",), "n01": ("tench", "Tinca tinca"), "n03": ("crane",)}
    torch.save((wnids, []), tmp_path / "meta.bin")
    monkeypatch.setattr("torchvision.datasets.imagenet.check_integrity", lambda *a: True)
    for number, wnid in enumerate(sorted(wnids)):
        for split, count in (("train", 3), ("val", 1)):
            for i in range(count):
                seed = 100 * number + i + 50 * (split == "val")
                write(tmp_path / split / wnid / f"{seed}.JPEG", picture(seed, 9, 9 + i, "jpeg"))
    dataset = open_data("imagenet", root=tmp_path, validation=0)
    assert dataset.classes == ("tench", "crane (n02)", "crane (n03)")
    assert sizes(dataset) == [9, 0, 3]
    assert list(dataset.manifest.column("wnid")[:4]) == ["n01"] * 3 + ["n02"]


def annotation(objects: list[tuple[str, int, int, int, int]]) -> bytes:
    boxes = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for name, a, b, c, d in objects
    )
    return f"<annotation><filename>x</filename>{boxes}</annotation>".encode()


@pytest.mark.parametrize(
    ("year", "sets"), [("2007", ("trainval", "test")), (None, ("train", "val"))]
)
def test_voc_takes_the_largest_object(tmp_path: Path, year: str | None, sets: tuple[str, str]):
    base = tmp_path / "VOCdevkit" / f"VOC{year or 2012}"
    scenes = {
        "a": [("cat", 1, 1, 3, 3), ("dog", 1, 1, 8, 5)],
        "b": [("cat", 1, 1, 7, 7)],
        "c": [("dog", 4, 4, 4, 9)],  # no area
        "d": [("dog", 1, 1, 2, 2), ("cat", 2, 2, 2, 8)],
    }
    for seed, (name, objects) in enumerate(scenes.items()):
        write(base / "JPEGImages" / f"{name}.jpg", picture(seed, 10, 12, "jpeg"))
        write(base / "Annotations" / f"{name}.xml", annotation(objects))
    write(base / "ImageSets" / "Main" / f"{sets[0]}.txt", b"a\nb\nc\n")
    write(base / "ImageSets" / "Main" / f"{sets[1]}.txt", b"d\n")
    dataset = open_data("voc", root=tmp_path, year=year, validation=0)
    assert len(dataset.classes) == 20
    assert [dataset.classes[label] for label in dataset.manifest.labels] == ["dog", "cat", "dog"]
    assert sizes(dataset) == [2, 0, 1]
    objects = json.loads(dataset.manifest.column("objects")[0])
    assert objects[1] == {"name": "dog", "box": [1, 1, 8, 5], "difficult": False}
    kinds = [p.kind for p in dataset.problems]
    assert kinds.count("missing_label") == 1
    assert kinds.count("empty_class") == 18


def test_a_damaged_annotation_is_named(tmp_path: Path):
    base = tmp_path / "VOCdevkit" / "VOC2012"
    write(base / "ImageSets" / "Main" / "train.txt", b"a\n")
    write(base / "Annotations" / "a.xml", b"<annotation>")
    with pytest.raises(DataError, match=r"a\.xml: not a Pascal VOC annotation"):
        open_data("voc", root=tmp_path)


@pytest.mark.parametrize("name", list(torchvision_sets.LOADERS))
def test_missing_files_say_what_to_download_and_where_to_put_it(name: str, tmp_path: Path):
    with pytest.raises(DataError) as error:
        open_data(name, root=tmp_path)
    message = str(error.value)
    assert message.startswith(f"{name}: files are missing or damaged in {tmp_path}")
    assert f"{tmp_path} must then contain {torchvision_sets.LOADERS[name].place}" in message
    assert ("set download: true" in message) == (name != "imagenet")


def test_a_truncated_batch_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_cifar(tmp_path, monkeypatch, fine=False)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="cifar10: files are missing"):
        open_data("cifar10", root=tmp_path)


def test_unknown_names_and_years(tmp_path: Path):
    with pytest.raises(DataError, match=r"no data source 'cifar11'.*Did you mean"):
        open_data("cifar11", root=tmp_path)
    with pytest.raises(DataError, match=r"year: should be '2007', .* or '2012', not '2006'"):
        open_data("voc", root=tmp_path, year="2006")
    with pytest.raises(DataError, match="year: svhn has no years"):
        open_data("svhn", root=tmp_path, year="2007")
