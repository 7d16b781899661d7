"""Folders of pictures: layouts, what is left out, and what is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import class_folders, picture, pixels, write
from tinyrefinery.data import listing
from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import EncodedImages, ResidentImages
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Center


def split_names(dataset: Dataset) -> dict[str, set[str]]:
    """Split -> last two parts of its paths."""
    paths, splits = dataset.manifest.column("path"), dataset.manifest.column("split")
    return {
        split: {"/".join(Path(p).parts[-2:]) for p in paths[splits == split]}
        for split in set(splits)
    }


def kinds(dataset: Dataset) -> list[str]:
    return [problem.kind for problem in dataset.problems]


def test_class_folders(tmp_path: Path):
    dataset = open_data("folder", root=class_folders(tmp_path), validation=0.2)
    assert dataset.classes == ("cat", "dog")
    assert {s: len(dataset.manifest.rows(s)) for s in ("train", "validation", "test")} == {
        "train": 16,
        "validation": 4,
        "test": 0,
    }
    assert dataset.problems == ()
    for row, path in enumerate(dataset.manifest.column("path")):
        number = int(Path(path).stem) + 1000 * (Path(path).parent.name == "dog")
        np.testing.assert_array_equal(dataset.images.pixels(row), pixels(number))
        assert dataset.classes[dataset.manifest.labels[row]] == Path(path).parent.name


def test_the_split_does_not_depend_on_where_the_folder_lies(tmp_path: Path):
    first = open_data("folder", root=class_folders(tmp_path / "a"))
    second = open_data("folder", root=class_folders(tmp_path / "b"))
    assert split_names(first) == split_names(second)
    assert first.manifest.digest == second.manifest.digest
    assert open_data("folder", root=tmp_path / "a", seed=1).manifest.digest != first.manifest.digest


def test_split_folders_nested_folders_hidden_and_other_files(tmp_path: Path):
    for split, seed in (("train", 0), ("VAL", 50), ("test", 90)):
        write(tmp_path / split / "cat" / "a.JPG", picture(seed, kind="jpeg"))
        write(tmp_path / split / "dog" / "deep" / "b.png", picture(seed + 1))
    write(tmp_path / "train" / "cat" / ".hidden.png", b"")
    write(tmp_path / "train" / ".cache" / "x.png", b"")
    write(tmp_path / "train" / "cat" / "notes.txt", b"x")
    dataset = open_data("folder", root=tmp_path)
    assert split_names(dataset) == {
        s: {"cat/a.JPG", "deep/b.png"} for s in ("train", "validation", "test")
    }
    assert kinds(dataset) == ["ignored_files"]
    assert "1 .txt" in dataset.problems[0].what


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("place", ["root", "splits"])
def test_hugging_face_image_folder(tmp_path: Path, kind: str, place: str):
    rows = []
    for i in range(8):
        split = "test" if i >= 6 else "train"
        write(tmp_path / split / f"{i}.png", picture(i))
        name = f"{split}/{i}.png" if place == "root" else f"{i}.png"
        rows.append({"file_name": name, "label": "ab"[i % 2], "patient": f"p{i}", "split_": split})
    for split in ("train", "test") if place == "splits" else ("",):
        mine = [{k: v for k, v in r.items() if k != "split_"} for r in rows if split in r["split_"]]
        lines = [json.dumps(row) for row in mine]
        if kind == "csv":
            lines = ["file_name,label,patient", *(",".join(row.values()) for row in mine)]
        write(tmp_path / split / f"metadata.{kind}", "\n".join(lines).encode())
    dataset = open_data("folder", root=tmp_path, validation=0)
    assert dataset.classes == ("a", "b")
    assert split_names(dataset)["test"] == {"test/6.png", "test/7.png"}
    assert list(dataset.manifest.column("patient")) == [f"p{i}" for i in range(8)]
    np.testing.assert_array_equal(dataset.manifest.labels, np.arange(8) % 2)


def test_metadata_that_does_not_fit_the_files(tmp_path: Path):
    class_folders(tmp_path / "pics", 2)
    rows = ["file_name,label", "pics/cat/0.png,c", "pics/dog/0.png,d", "pics/gone.png,d"]
    write(tmp_path / "metadata.csv", "\n".join(rows).encode())
    dataset = open_data("folder", root=tmp_path, validation=0)
    assert sorted(kinds(dataset)) == ["broken_image", "unlisted_image", "unlisted_image"]
    assert any("gone.png" in p.where and "No such file" in p.what for p in dataset.problems)
    write(tmp_path / "metadata.csv", b"file_name,lable\npics/cat/0.png,c\n")
    with pytest.raises(DataError, match=r"no column 'label'.*file_name, lable.*mean 'lable'"):
        open_data("folder", root=tmp_path)
    write(tmp_path / "metadata.csv", b"file_name,label\n")
    with pytest.raises(DataError, match="lists no images"):
        open_data("folder", root=tmp_path)


def test_broken_images_are_left_out_and_listed(tmp_path: Path):
    class_folders(tmp_path)
    write(tmp_path / "cat" / "zero.jpg", b"")
    write(tmp_path / "cat" / "cut.jpg", picture(99, 64, 64, "jpeg")[:-300])
    write(tmp_path / "dog" / "text.jpg", b"This is not a picture.")
    (tmp_path / "dog" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    dataset = open_data("folder", root=tmp_path)
    assert len(dataset.manifest) == len(dataset.images) == 20
    found = {Path(p.where).name: p.what.lower() for p in dataset.problems}
    assert "zero bytes" in found["zero.jpg"]
    assert "truncated" in found["cut.jpg"]
    assert "not an image" in found["text.jpg"]
    assert "no such file" in found["dangling.png"]
    assert set(kinds(dataset)) == {"broken_image"}
    with pytest.raises(DataError, match=r"(?s)4 problems.*cut\.jpg.*text\.jpg"):
        open_data("folder", root=tmp_path, strict=True)


def test_a_strict_error_lists_ten_and_counts_the_rest(tmp_path: Path):
    class_folders(tmp_path)
    for i in range(13):
        write(tmp_path / "cat" / f"zero{i:02d}.jpg", b"")
    with pytest.raises(DataError) as error:
        open_data("folder", root=tmp_path, strict=True)
    assert "13 problems" in str(error.value)
    assert str(error.value).count("zero bytes") == 10
    assert "and 3 more" in str(error.value)


def test_an_empty_class_is_reported_and_stays_a_class(tmp_path: Path):
    class_folders(tmp_path)
    (tmp_path / "bird").mkdir()
    dataset = open_data("folder", root=tmp_path)
    assert dataset.classes == ("bird", "cat", "dog")
    assert kinds(dataset) == ["empty_class"]
    with pytest.raises(DataError, match="empty_class: bird"):
        open_data("folder", root=tmp_path, strict=True)


def test_copies_across_splits_leave_the_test_split_whole(tmp_path: Path):
    for split, offset in (("train", 0), ("val", 100), ("test", 200)):
        for name, far in (("cat", 0), ("dog", 1000)):
            for i in range(4):
                write(tmp_path / split / name / f"{i}.png", picture(offset + far + i))
    write(tmp_path / "train" / "cat" / "copy.png", picture(200))  # of test/cat/0.png
    write(tmp_path / "val" / "cat" / "copy.png", picture(201))  # of test/cat/1.png
    write(tmp_path / "train" / "dog" / "copy.png", picture(1100))  # of val/dog/0.png
    dataset = open_data("folder", root=tmp_path)
    assert kinds(dataset) == ["duplicate_across_splits"] * 3
    assert {s: len(dataset.manifest.rows(s)) for s in ("train", "validation", "test")} == {
        **{"train": 8, "validation": 8, "test": 8},
    }
    assert "test/cat/0.png in test; left out of train" in dataset.problems[0].what
    for row, path in enumerate(dataset.manifest.column("path")):
        assert "copy" not in path
        seed = int(Path(path).stem) + 1000 * ("dog" in path)
        seed += 100 * ("/val/" in path) + 200 * ("/test/" in path)
        np.testing.assert_array_equal(dataset.images.pixels(row), pixels(seed))
    with pytest.raises(DataError, match="duplicate_across_splits"):
        open_data("folder", root=tmp_path, strict=True)


def test_copies_with_different_labels_are_reported_and_stay_together(tmp_path: Path):
    class_folders(tmp_path)
    write(tmp_path / "dog" / "copy.png", picture(3))  # of cat/3.png
    dataset = open_data("folder", root=tmp_path)
    assert kinds(dataset) == ["conflicting_labels"]
    assert "labeled cat and dog" in dataset.problems[0].what
    splits = dataset.manifest.column("split")
    where = [
        i for i, p in enumerate(dataset.manifest.column("path")) if p.endswith(("t/3.png", "y.png"))
    ]
    assert len({splits[i] for i in where}) == 1


def test_resident_or_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class_folders(tmp_path, 3)
    assert isinstance(open_data("folder", root=tmp_path).images, ResidentImages)
    assert isinstance(open_data("folder", root=tmp_path, resident="never").images, EncodedImages)
    bytes_needed = 6 * 3 * 8 * 8
    for limit, kind in ((bytes_needed, ResidentImages), (bytes_needed - 1, EncodedImages)):
        monkeypatch.setattr(listing, "RESIDENT_BYTES", limit)
        assert isinstance(open_data("folder", root=tmp_path).images, kind)
    write(tmp_path / "cat" / "large.png", picture(77, 9, 8))
    dataset = open_data("folder", root=tmp_path)
    assert isinstance(dataset.images, EncodedImages)
    assert sorted(map(tuple, dataset.images.sizes.tolist())) == [(8, 8)] * 6 + [(9, 8)]
    with pytest.raises(DataError, match="2 sizes; resize them"):
        open_data("folder", root=tmp_path, resident="always")


def test_large_images_of_one_size_are_not_kept_whole_but_shrunk(tmp_path: Path):
    for number in range(4):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", picture(number, 520, 520))
    large = open_data("folder", root=tmp_path)
    assert isinstance(large.images, EncodedImages)
    assert (View(large, Center(size=48)).images.sizes == 256).all()
    whole = open_data("folder", root=tmp_path, resident="always")
    assert isinstance(whole.images, ResidentImages)


def test_grey(tmp_path: Path):
    class_folders(tmp_path, 3)
    resident = open_data("folder", root=tmp_path, channels=1).images
    encoded = open_data("folder", root=tmp_path, channels=1, resident="never").images
    for row in range(6):
        assert resident.pixels(row).shape == (8, 8, 1)
        np.testing.assert_array_equal(resident.pixels(row), encoded.pixels(row))


def test_a_test_split_can_be_carved(tmp_path: Path):
    dataset = open_data("folder", root=class_folders(tmp_path), validation=0.2, test=0.3)
    counts = [len(dataset.manifest.rows(s)) for s in ("train", "validation", "test")]
    assert counts == [12, 2, 6]  # of 20: 3 of each ten test; of the other seven 1 validates


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "no such folder.*Expected ROOT/CLASS"),
        (lambda root: write(root / "file", b""), "a file, not a folder"),
        (lambda root: root, "no image found. Expected ROOT/CLASS"),
        (lambda root: write(root / "a" / "x.heic", b"").parents[1], r"ignored: 1 \.heic"),
        (lambda root: write(root / "a" / "x.png", picture(0)).parents[1], "one class folder only"),
        (lambda root: write(root / "x.png", picture(0)).parent, "no image found"),
        (
            lambda root: write(class_folders(root) / "metadata.jsonl", b"{").parent,
            "line 1: is not JSON",
        ),
    ],
)
def test_what_is_no_folder_of_pictures_is_refused(tmp_path: Path, make, message: str):
    with pytest.raises(DataError, match=message):
        open_data("folder", root=make(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 1.0}, "'folder': validation: should be less than 1, not 1.0"),
        ({"validation": -0.1}, "validation: should be greater than or equal to 0, not -0.1"),
        ({"validation": 0.5, "test": 0.5}, r"validation: 0.5 and test \(0.5\) leave nothing"),
        ({"channels": 4}, "channels: should be 1 or 3, not 4"),
        ({"resident": "yes"}, "resident: should be 'auto', 'always' or 'never', not 'yes'"),
        ({"group": "patient"}, "no column 'patient'"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict, message: str):
    with pytest.raises(DataError, match=message):
        open_data("folder", root=class_folders(tmp_path, 2), **options)


def test_one_class_over_splits_is_refused(tmp_path: Path):
    for split in ("train", "test"):
        write(tmp_path / split / "cat" / "a.png", picture(0))
    with pytest.raises(DataError, match="one class only"):
        open_data("folder", root=tmp_path)


def test_nothing_usable_says_why(tmp_path: Path):
    for name in ("cat", "dog"):
        write(tmp_path / name / "zero.jpg", b"")
    with pytest.raises(DataError, match=r"no usable image.*zero\.jpg: zero bytes"):
        open_data("folder", root=tmp_path)


def test_metadata_as_people_write_it(tmp_path: Path):
    for i in range(3):
        write(tmp_path / f"{i}.png", picture(i))
    file = tmp_path / "metadata.csv"
    write(file, b'\xef\xbb\xbffile_name,label,note\r\n0.png,x,"two\r\nlines"\r\n1.png,y\r\n')
    dataset = open_data("folder", root=tmp_path, validation=0)
    assert list(dataset.manifest.column("note")) == ["two\r\nlines", None]
    write(file, b"file_name,label\n0.png,x\n1.png,y,z\n")
    with pytest.raises(DataError, match=r"metadata\.csv.*entry 2 has more fields"):
        open_data("folder", root=tmp_path)
    write(file, b"file_name,label,split\n0.png,x,train\n1.png,y,tset\n")
    with pytest.raises(DataError, match=r"metadata\.csv: unknown split 'tset'.*mean 'test'"):
        open_data("folder", root=tmp_path)
    file.unlink()
    lines = ['{"file_name": "0.png"}', '{"file_name": "1.png", "label": 5}']
    write(tmp_path / "metadata.jsonl", "\n".join(lines).encode())
    with pytest.raises(DataError, match=r"one class only \(5\)"):
        open_data("folder", root=tmp_path)
    write(tmp_path / "metadata.jsonl", b"[1, 2]")
    with pytest.raises(DataError, match="line 1: holds list, not a JSON object"):
        open_data("folder", root=tmp_path)


def test_a_list_leaves_images_out(tmp_path):
    root = class_folders(tmp_path / "photos")
    whole = open_data("folder", root=root, validation=0)
    paths, ids = whole.manifest.column("path"), whole.manifest.column("id")
    leave_out = tmp_path / "leave_out.txt"
    leave_out.write_text(f"# seen twice\n{paths[3]}\n\n  {ids[15]}\nno such file\n")
    data = open_data("folder", root=root, validation=0, exclude=str(leave_out), strict=True)
    assert set(paths) - set(data.manifest.column("path")) == {paths[3], paths[15]}
    (problem,) = data.problems
    assert (problem.kind, problem.what) == ("excluded", "2 images left out")


def test_a_list_that_is_missing_or_leaves_nothing(tmp_path):
    root = class_folders(tmp_path / "photos")
    with pytest.raises(DataError, match=r"none\.txt: can't be read"):
        open_data("folder", root=root, exclude=str(tmp_path / "none.txt"))
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("# leaks\n./photos/cat/0.png\n")
    with pytest.raises(DataError, match=r"none of its 1 lines is an image.*while the data has"):
        open_data("folder", root=root, exclude=str(elsewhere))
    everything = tmp_path / "all.txt"
    everything.write_text("\n".join(open_data("folder", root=root).manifest.column("path")))
    with pytest.raises(DataError, match="no usable image"):
        open_data("folder", root=root, exclude=str(everything))


def labeled_by(root: Path, sources: list[str], groups: list[str] | None = None, split: str = ""):
    """A folder whose metadata file tells who labeled each picture."""
    lines = [
        "file_name,label,label_source" + (",group" if groups else "") + (",split" * bool(split))
    ]
    for i, source in enumerate(sources):
        write(root / f"{i}.png", picture(i))
        own = [f"{i}.png", ("cat", "dog")[i % 2], source]
        own += [groups[i]] if groups else []
        lines.append(",".join([*own, *([split] if split and i < 4 else ["train"] * bool(split))]))
    write(root / "metadata.csv", "\n".join(lines).encode())
    return root


def test_labels_of_a_network_are_not_carved_off_to_measure(tmp_path: Path):
    sources = ["auto:large@0.99" if i % 4 < 2 else "human:ann" for i in range(80)]
    dataset = open_data("folder", root=labeled_by(tmp_path, sources), validation=0.2, test=0.3)
    held = dataset.manifest.column("split") != "train"
    auto = np.array([s.startswith("auto:") for s in dataset.manifest.column("label_source")])
    assert held.sum() == 18  # three tenths of forty, then a fifth of the others
    assert not (held & auto).any()
    only = open_data("folder", root=labeled_by(tmp_path / "b", ["auto:large@0.99"] * 20), test=0.2)
    assert set(only.manifest.column("split")) == {"train"}
    assert kinds(only) == ["empty_split", "empty_split"]


def test_a_group_with_a_networks_label_stays_in_training(tmp_path: Path):
    sources = ["auto:large@0.99" if i < 10 else "human:ann" for i in range(60)]
    groups = [f"home{i % 20}" for i in range(60)]
    dataset = open_data("folder", root=labeled_by(tmp_path, sources, groups), validation=0.3)
    assert len(dataset.manifest.rows("validation"))
    homes = set(dataset.manifest.column("group")[dataset.manifest.rows("validation")])
    assert not homes & set(groups[:10])


def test_a_networks_labels_that_measure_are_told(tmp_path: Path):
    root = labeled_by(tmp_path, ["auto:large@0.99"] * 2 + ["given"] * 18, split="test")
    told = [
        p
        for p in open_data("folder", root=root, validation=0.0).problems
        if p.kind == "auto_labels_measure"
    ]
    assert [(p.where, p.what.partition(" ")[0]) for p in told] == [("test", "2")]


def test_a_name_that_is_no_utf_8_is_left_out_and_told(tmp_path: Path):
    root = class_folders(tmp_path)
    try:
        write(root / "cat" / "bad\udcff.png", picture(77))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    dataset = open_data("folder", root=root)
    assert len(dataset.manifest) == 20
    assert kinds(dataset) == ["ignored_files"]
    assert "rename" in dataset.problems[0].what


@pytest.mark.skipif(os.sep == "\\", reason="backslashes are separators here")
def test_metadata_written_on_windows(tmp_path: Path):
    class_folders(tmp_path, each=4)
    names = [f"{label}\\{i}.png" for label in ("cat", "dog") for i in range(4)]
    odd = "cat/back\\slash.png"  # a file name here, and not a path
    write(tmp_path / odd, picture(77))
    lines = [f"{name},{name[:3]}" for name in [*names, odd]]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,label", *lines]) + "\n")
    dataset = open_data("folder", root=str(tmp_path), validation=0, test=0)
    assert len(dataset.manifest) == 9
    assert dataset.problems == ()
