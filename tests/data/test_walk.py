"""Each picture below a folder is used or listed, once, whatever leads to it."""

import os

import pytest

from tests.data.pictures import class_folders, picture, write
from tinyrefinery.data.open import open_data
from tinyrefinery.data.sources.folder import open_unlabeled
from tinyrefinery.data.sources.found_pictures import ENDINGS
from tinyrefinery.data.stamp import source_stamp
from tinyrefinery.data.walk import walk
from tinyrefinery.detection.container import open_container
from tinyrefinery.errors import DataError


def pictures_below(root):
    return sum(
        os.path.splitext(name)[1].lower() in ENDINGS
        for _, _, names in os.walk(root)
        for name in names
    )


def listed(data):
    return [p for p in data.problems if p.kind in ("stray_image", "broken_image")]


def check_all_are_accounted_for(root, **options):
    data = open_data("folder", root=root, validation=0, **options)
    assert pictures_below(root) == len(data.manifest) + len(listed(data))
    return data


def test_links_to_folders_above_are_not_followed(tmp_path):
    root = class_folders(tmp_path / "data", each=4)
    for name in ("cat", "dog"):
        (root / name / "up").symlink_to(root)
        (root / name / "up_too").symlink_to(tmp_path)
        (root / name / "itself").symlink_to(root / name)
    data = check_all_are_accounted_for(root)
    links = [p.where for p in data.problems if "link" in p.what]
    assert len(links) == 6
    assert len(open_unlabeled(root, 3).manifest) == 8
    source_stamp({"root": str(root)})
    assert len(open_container(root).names) == 8


def test_a_link_to_another_class_takes_nothing_from_it(tmp_path):
    root = class_folders(tmp_path / "data", each=4)
    (root / "cat" / "all").symlink_to(root / "dog")
    data = check_all_are_accounted_for(root)
    assert sorted(data.manifest.labels.tolist()) == [0] * 4 + [1] * 4


def test_links_to_other_places_are_followed_once(tmp_path):
    root = class_folders(tmp_path / "data", each=4)
    write(tmp_path / "elsewhere" / "deep" / "x.png", picture(77))
    for name in ("one", "two"):
        (root / "cat" / name).symlink_to(tmp_path / "elsewhere")
    (root / "bird").symlink_to(tmp_path / "birds")
    for i in range(3):
        write(tmp_path / "birds" / f"{i}.png", picture(500 + i))
    data = open_data("folder", root=root, validation=0)
    assert data.classes == ("bird", "cat", "dog")
    assert len(data.manifest) == 12
    assert [p.where for p in data.problems] == [str(root / "cat" / "two")]


def test_many_links_to_each_other_end(tmp_path):
    root = class_folders(tmp_path / "data", each=2)
    for a in ("cat", "dog"):
        for i in range(10):
            (root / a / f"link{i}").symlink_to(root / ("dog" if a == "cat" else "cat"))
    assert sum(len(names) for _, _, names in walk([root]).folders) == 4


def test_loose_pictures_and_other_folders_are_listed(tmp_path):
    root = tmp_path / "data"
    for split in ("train", "test"):
        class_folders(root / split, each=3)
    # `class_folders` draws the same pictures again; those of test have to differ
    for i, path in enumerate(sorted((root / "test").rglob("*.png"))):
        path.write_bytes(picture(9000 + i))
    write(root / "loose.png", picture(50))
    write(root / "train" / "loose.png", picture(51))
    write(root / "extra" / "cat" / "x.png", picture(52))
    data = check_all_are_accounted_for(root)
    places = sorted(os.path.relpath(p.where, root) for p in listed(data))
    assert places == ["extra/cat/x.png", "loose.png", "train/loose.png"]
    with pytest.raises(DataError, match=r"problems in the data|stray"):
        open_data("folder", root=root, validation=0, strict=True)


def test_train_as_a_class_is_refused_where_it_may_be_a_split(tmp_path):
    root = class_folders(tmp_path, each=3, classes=("bus", "bicycle", "boat"))
    class_folders(root / "train", each=3, classes=("steam", "diesel"))
    with pytest.raises(DataError, match=r"'train' may be.*bicycle, boat, bus.*rename"):
        open_data("folder", root=root)


def test_train_as_a_class_without_folders_is_a_class(tmp_path):
    root = class_folders(tmp_path, each=3, classes=("bus", "train"))
    assert open_data("folder", root=root, validation=0).classes == ("bus", "train")


@pytest.mark.parametrize("names", [("val", "test"), ("test",), ("valid", "testing")])
def test_splits_without_a_training_split(tmp_path, names):
    for name in names:
        class_folders(tmp_path / name)
    with pytest.raises(DataError, match=r"no training split: there are .*'train'"):
        open_data("folder", root=tmp_path)


def test_folders_of_systems_are_passed_over(tmp_path):
    root = class_folders(tmp_path, each=3)
    for name in ("__MACOSX", "$RECYCLE.BIN", "@eaDir"):
        write(root / name / "x.png", picture(60))
        write(root / "cat" / name / "x.png", picture(61))
    data = open_data("folder", root=root, validation=0)
    assert data.classes == ("cat", "dog")
    assert len(data.manifest) == 6


def test_class_folders_that_are_not_utf8_are_listed(tmp_path):
    root = class_folders(tmp_path, each=3)
    folder = os.fsencode(root) + b"/b\xffd"
    os.mkdir(folder)
    with open(folder + b"/x.png", "wb") as file:
        file.write(picture(70))
    data = open_data("folder", root=root, validation=0)
    assert data.classes == ("cat", "dog")
    assert any("not UTF-8" in problem.what for problem in data.problems)


def test_pictures_outside_the_folder_are_reported(tmp_path, caplog):
    root = class_folders(tmp_path / "data", each=2)
    write(tmp_path / "out.png", picture(80))
    lines = ["file_name,label", *(f"{c}/{i}.png,{c}" for c in ("cat", "dog") for i in range(2))]
    (root / "metadata.csv").write_text("\n".join([*lines, "../out.png,cat"]))
    with caplog.at_level("INFO"):
        data = open_data("folder", root=root, validation=0)
    assert len(data.manifest) == 5
    assert "1 pictures lie outside this folder, first" in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_with_the_name_of_a_picture_is_listed_and_not_read(tmp_path):
    root = class_folders(tmp_path / "data", each=4)
    os.mkfifo(root / "cat" / "pipe.png")
    data = check_all_are_accounted_for(root)
    assert [(p.where, p.what) for p in listed(data)] == [
        (
            str(root / "cat" / "pipe.png"),
            "can't be read (a pipe, a socket or a device, not a file); left out",
        )
    ]


def test_pictures_of_other_formats_are_named_before_other_files(tmp_path):
    root = class_folders(tmp_path / "data", each=4)
    for ending in ("txt", "xml", "json", "csv", "db", "mp4", "md"):
        for number in range(2):
            (root / "cat" / f"{number}.{ending}").write_text("x")
    (root / "dog" / "IMG_0001.HEIC").write_bytes(b"x")
    data = open_data("folder", root=root, validation=0)
    (problem,) = [p for p in data.problems if p.kind == "ignored_files"]
    assert problem.what == (
        "15 files with other extensions (ignored: 1 .heic, 2 .csv, 2 .db, 2 .json, 2 .md, "
        "2 .mp4, 4 others. Convert pictures to JPEG or PNG)"
    )


def test_folders_that_cannot_be_read_are_listed(tmp_path, monkeypatch):
    """Changing permissions stops no administrator, who may run the tests."""
    root = class_folders(tmp_path / "data", each=4)
    write(root / "cat" / "locked" / "x.png", picture(77))
    locked, scan = root / "cat" / "locked", os.scandir

    def scandir(place="."):
        if str(place) == str(locked):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)
    data = open_data("folder", root=root, validation=0)
    assert len(data.manifest) == 8
    (problem,) = [p for p in data.problems if p.kind == "ignored_files"]
    assert problem.where == str(locked)
    assert problem.what.startswith("this folder can't be read; its pictures are left out")
