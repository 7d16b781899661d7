"""Data sets in Pascal VOC's layout, with the faults that real ones have."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.data.pictures import encoded
from tests.data.test_copies import photograph
from tests.detection.voc_files import jpeg, sound, write, write_zip, xml
from tests.real import real_data
from tinyrefinery.detection.voc import open_voc as open_part
from tinyrefinery.detection.voc_xml import parse, place_objects
from tinyrefinery.errors import DataError
from tinyrefinery.recipe.detection import Voc


def open_voc(root, **options):
    return open_part(Voc(root=root, **options))


def kinds(data):
    return [problem.kind for problem in data.problems]


def faults_of(boxes, size=(40, 60), image=(40, 60)):
    sound_ones, faults = place_objects(parse(xml("a", boxes, size).encode()), *image)
    return [box.tolist() for _, box, _ in sound_ones], [kind for kind, _ in faults]


def test_a_sound_folder(tmp_path):
    data = open_voc(write(tmp_path, sound()), validation=0.25)
    assert data.classes == ("cat", "dog")
    assert {s: len(data.rows(s)) for s in ("train", "validation", "test")} == {
        "train": 6,
        "validation": 2,
        "test": 4,
    }
    assert data.problems == ()
    row = data.paths.index("JPEGImages/im1.jpg")
    # Both corners belong to a VOC box, which counts pixels from 1.
    assert data.truth[row].boxes.tolist() == [[1, 4, 27, 30]]
    assert data.truth[row].labels.tolist() == [0]
    assert data.images.pixels(row).shape == (40, 60, 3)
    assert sum(data.counts("train").values()) == 6


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_zip_is_the_same_as_a_folder(tmp_path, kind):
    folder = open_voc(write(tmp_path / "folder", sound()))
    inside = {f"deep/VOC2007/{name}": content for name, content in sound().items()}
    inside["__MACOSX/deep/VOC2007/Annotations/._im0.xml"] = "litter"
    packed = open_voc(write_zip(tmp_path / "packed.zip", inside, kind))
    assert packed.digest == folder.digest
    assert packed.problems == ()
    for row in range(len(folder)):
        assert np.array_equal(packed.images.pixels(row), folder.images.pixels(row))


def test_the_digest_knows_boxes_and_splits(tmp_path):
    files = sound()
    first = open_voc(write(tmp_path / "a", files)).digest
    assert open_voc(write(tmp_path / "same", files)).digest == first
    files["Annotations/im1.xml"] = xml("im1", [("cat", 2, 5, 28, 30)])
    assert open_voc(write(tmp_path / "b", files)).digest != first
    assert open_voc(tmp_path / "a", validation=0.4).digest != first


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        (("cat", 10, 10, 10, 10), "zero_area"),
        (("cat", 10, 10, 10, 30), "zero_area"),
        (("cat", 30, 10, 10, 30), "inverted_box"),
        (("cat", 70, 10, 90, 30), "outside"),
        (("cat", -30, 10, -10, 30), "outside"),
    ],
)
def test_boxes_that_are_left_out(box, kind):
    assert faults_of([box, ("dog", 2, 2, 20, 20)]) == ([[1, 1, 20, 20]], [kind])


def test_boxes_that_stick_out_are_cut():
    assert faults_of([("cat", 50, 10, 90, 50)]) == ([[49, 9, 60, 40]], ["clipped"])
    # Tools that count from 0 write 0, which is no reason to speak of it.
    assert faults_of([("cat", 0, 0, 60, 40)]) == ([[0, 0, 60, 40]], [])


def test_sizes_that_differ():
    box = ("cat", 1, 1, 30, 20)
    assert faults_of([box], size=None) == ([[0, 0, 30, 20]], ["missing_size"])
    assert faults_of([box], size=(0, 0)) == ([[0, 0, 30, 20]], ["missing_size"])
    assert faults_of([box], image=(80, 120)) == ([[0, 0, 60, 40]], ["resized_image"])
    assert faults_of([box], image=(60, 40)) == ([[0, 0, 30, 20]], ["other_size"])


def test_objects_that_cannot_be_read():
    text = xml("a", [("cat", 1, 1, 30, 20), ("dog", 3, 3, 30, 30), ("dog", 5, 5, 9, 9)])
    text = text.replace("<name>cat</name>", "").replace("<xmin>3</xmin>", "<xmin>3px</xmin>", 1)
    sound_ones, faults = place_objects(parse(text.encode()), 40, 60)
    assert [name for name, _, _ in sound_ones] == ["dog"]
    assert [kind for kind, _ in faults] == ["unreadable_object"] * 2
    assert "object 1: has no name" in faults[0][1]
    assert "3px" in faults[1][1]
    for bad in ("nan", "inf"):
        again = xml("a", [("cat", 1, 1, 30, 20)], **{"<xmax>30": f"<xmax>{bad}"})
        assert place_objects(parse(again.encode()), 40, 60)[0] == []


@pytest.mark.parametrize(
    ("mark", "hard"), [("1", True), (" True ", True), ("0", False), ("False", False), ("", False)]
)
def test_difficult_objects_keep_their_mark(mark, hard):
    text = xml("a", [("cat", 1, 1, 30, 20)], **{"<difficult>0": f"<difficult>{mark}"})
    assert [each for _, _, each in place_objects(parse(text.encode()), 40, 60)[0]] == [hard]


@pytest.mark.parametrize("name", ["gb2312", "gbk", "big5", "shift_jis", "utf-16", "latin-1"])
def test_encodings_that_the_parser_does_not_know(name):
    """Tools write what their system has; one such file used to end the opening."""
    text = f'<?xml version="1.0" encoding="{name}"?>' + xml("a", [("cat", 1, 1, 30, 20)])
    letters = "caf\xe9" if name == "latin-1" else "\u4e2d"
    text = text.replace(">cat<", f">{letters}<")
    assert [each.name for each in parse(text.encode(name)).objects] == [letters]


@pytest.mark.parametrize("name", ["klingon", "gbk"])
def test_encodings_that_are_none_or_wrong(name):
    text = f'<?xml version="1.0" encoding="{name}"?>' + xml("\xff", [])
    with pytest.raises(DataError, match="not XML"):
        parse(text.encode("latin-1"))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_turn_with_an_image_that_was_annotated_as_it_lies(orientation):
    """The reference: Pillow turns a picture of the box."""
    box, sides = (11, 6, 30, 20), (40, 60)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    pixels = np.zeros(sides, np.uint8)
    pixels[box[1] - 1 : box[3], box[0] - 1 : box[2]] = 255
    Image.fromarray(pixels).save(content, "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(content)))
    rows, columns = (np.flatnonzero(upright.any(axis=axis)) for axis in (1, 0))
    expected = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    annotation = parse(xml("a", [("cat", *box)], sides).encode())
    ((_, found, _),), faults = place_objects(annotation, *upright.shape, orientation)
    assert found.tolist() == expected
    assert [kind for kind, _ in faults] == ["turned_image"]


def test_a_photograph_on_its_side_in_a_set(tmp_path):
    files = sound()
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.effect_noise((60, 40), 50).convert("RGB").save(content, "JPEG", exif=exif)
    files["JPEGImages/im1.jpg"] = content.getvalue()
    data = open_voc(write(tmp_path, files))
    assert [(p.kind, p.where) for p in data.problems] == [("turned_image", "Annotations/im1.xml")]
    row = data.paths.index("JPEGImages/im1.jpg")
    assert data.images.pixels(row).shape == (60, 40, 3)
    assert data.truth[row].boxes.tolist() == [[10, 1, 36, 27]]


def test_everything_that_can_be_wrong_with_files(tmp_path):
    files = sound(20)
    files["Annotations/im0.xml"] = "<annotation><object>"
    files["Annotations/im1.xml"] = "<html></html>"
    files["JPEGImages/im2.jpg"] = b""
    del files["JPEGImages/im3.jpg"]
    del files["Annotations/im4.xml"]
    files["Annotations/im5.xml"] = xml("im5", [])
    files["Annotations/im6.xml"] = xml("im6", [("cat", 9, 9, 9, 9)])
    files["JPEGImages/im7.jpg"] = files["JPEGImages/im19.jpg"]
    files["ImageSets/Main/test.txt"] = "im8\nim99\n" + str(files["ImageSets/Main/test.txt"])
    data = open_voc(write(tmp_path, files), validation=0.2)
    found = {(p.kind, p.where) for p in data.problems}
    assert found >= {
        ("broken_annotation", "Annotations/im0.xml"),
        ("broken_annotation", "Annotations/im1.xml"),
        ("broken_image", "JPEGImages/im2.jpg"),
        ("missing_image", "Annotations/im3.xml"),
        ("missing_annotation", "im4"),
        ("missing_annotation", "im99"),
        ("no_objects", "Annotations/im5.xml"),
        ("no_objects", "Annotations/im6.xml"),
        ("zero_area", "Annotations/im6.xml"),
        ("duplicate_across_splits", "JPEGImages/im7.jpg"),
        ("listed_twice", "im8"),
    }
    assert len(found) == 11
    kept = {path.removesuffix(".jpg").removeprefix("JPEGImages/") for path in data.paths}
    assert kept == {f"im{i}" for i in range(5, 20)} - {"im7"}
    assert len(data.truth[data.paths.index("JPEGImages/im5.jpg")]) == 0
    assert data.splits[data.paths.index("JPEGImages/im8.jpg")] == "test"


def test_given_classes_choose_and_order(tmp_path):
    data = open_voc(write(tmp_path, sound()), classes=["dog"])
    assert data.classes == ("dog",)
    assert kinds(data).count("unknown_class") == 6
    assert kinds(data).count("no_objects") == 6
    with pytest.raises(DataError, match=r"no object has the class 'dgo'.*mean 'dog'.*cat, dog"):
        open_voc(tmp_path, classes=["dgo"])


def test_given_lists(tmp_path):
    files = sound()
    files["ImageSets/Main/mine.txt"] = "im0 1\nim1 -1\nim2\nim3\n"
    data = open_voc(write(tmp_path, files), splits={"train": "mine"}, validation=0.25, test=0.25)
    assert [len(data.rows(s)) for s in ("train", "validation", "test")] == [2, 1, 1]
    with pytest.raises(DataError, match=r"no list 'mien'.*mean 'mine'"):
        open_voc(tmp_path, splits={"train": "mien"})


@pytest.mark.parametrize("line", ["my cat", "my cat  1", "my cat.jpg", "my cat\r"])
def test_lines_of_lists(tmp_path, line):
    """Names with spaces, marks or endings; and the sign that Windows' editors begin a file with."""
    files = sound(4)
    files["JPEGImages/my cat.jpg"] = jpeg(99)
    files["Annotations/my cat.xml"] = xml("my cat", [("cat", 2, 5, 27, 30)])
    files["ImageSets/Main/train.txt"] = f"\ufeff{line}\nim0\nim1"
    data = open_voc(write(tmp_path, files), validation=0)
    assert kinds(data) == ["empty_split"]
    assert "JPEGImages/my cat.jpg" in data.paths


def test_without_lists_images_without_annotation_are_told(tmp_path):
    files = {k: v for k, v in sound().items() if not k.startswith("ImageSets")}
    del files["Annotations/im2.xml"]
    files["Annotations/other.xml"] = files.pop("Annotations/im3.xml")  # which names im3.jpg
    data = open_voc(write(tmp_path, files))
    (problem,) = data.problems
    assert (problem.kind, problem.where) == ("missing_annotation", "JPEGImages/im2.jpg")
    assert "write an annotation without objects" in problem.what
    assert len(data) == 11


def test_without_lists_all_is_for_training(tmp_path):
    files = {k: v for k, v in sound().items() if not k.startswith("ImageSets")}
    data = open_voc(write(tmp_path, files), validation=0)
    assert len(data.rows("train")) == 12
    assert kinds(data) == ["empty_split"]


def test_strict_refuses_faults_but_not_empty_images(tmp_path):
    files = sound()
    files["Annotations/im0.xml"] = xml("im0", [])
    assert open_voc(write(tmp_path, files), strict=True)
    files["Annotations/im1.xml"] = xml("im1", [("cat", 9, 9, 9, 9)])
    with pytest.raises(DataError, match=r"1 problem .*\n  zero_area: Annotations/im1.xml"):
        open_voc(write(tmp_path, files), strict=True)


def burst(root):
    """30 photographs, each with a recompressed and a mirrored copy; no lists."""
    rng = np.random.default_rng(0)
    files = {}
    for number in range(30):
        picture = photograph(rng, 48)
        copies = [picture, picture, picture[:, ::-1]]
        for copy, (pixels, quality) in enumerate(zip(copies, (95, 60, 90), strict=True)):
            name = f"im{number:02d}-{copy}"
            files[f"JPEGImages/{name}.jpg"] = encoded(pixels, "jpeg", quality=quality)
            files[f"Annotations/{name}.xml"] = xml(name, [("cat", 2, 5, 20, 30)], (48, 48))
    return write(root, files)


def test_near_copies_are_in_one_split(tmp_path):
    root = burst(tmp_path)
    divided = {}
    for copies in ("apart", "together"):
        data = open_voc(root, validation=0.2, test=0.2, near_copies=copies, strict=True)
        splits = {}
        for path, split in zip(data.paths, data.splits, strict=True):
            splits.setdefault(path.rpartition("-")[0], set()).add(str(split))
        divided[copies] = sum(len(each) > 1 for each in splits.values())
        assert min(len(data.rows(split)) for split in ("validation", "test")) > 10
    assert divided["apart"] > 10
    assert divided["together"] == 0
    (note,) = (problem for problem in data.problems if problem.kind == "near_copies")
    assert note.what.startswith("90 images are near copies of others")


def without(files, *words):
    return {k: v for k, v in files.items() if not any(word in k for word in words)}


def two_years() -> dict[str, str | bytes]:
    """VOC2012 with the lists train and trainval, and VOC2007 with test; names occur in one only."""
    later, files = sound(12), {}
    names = [f"im{i}" for i in range(12)]
    for year, mine in (("VOC2012", names[:8]), ("VOC2007", names[8:])):
        for folder, ending in (("JPEGImages", "jpg"), ("Annotations", "xml")):
            for name in mine:
                files[f"{year}/{folder}/{name}.{ending}"] = later[f"{folder}/{name}.{ending}"]
    files["VOC2012/ImageSets/Main/trainval.txt"] = "\n".join(names[:8])
    files["VOC2012/ImageSets/Main/train.txt"] = "\n".join(names[:4])
    files["VOC2007/ImageSets/Main/test.txt"] = "\n".join(names[8:])
    files["VOC2007/ImageSets/Main/train.txt"] = names[8]
    return files


def test_lists_of_two_years(tmp_path):
    root = write(tmp_path / "VOCdevkit", two_years())
    splits = {"train": "VOC2012/trainval", "test": "VOC2007/test"}
    data = open_voc(root, splits=splits, validation=0.25)
    years = {
        split: {data.paths[row].split("/")[0] for row in data.rows(split)}
        for split in ("train", "validation", "test")
    }
    assert years == {"train": {"VOC2012"}, "validation": {"VOC2012"}, "test": {"VOC2007"}}
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [6, 2, 4]
    assert data.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trainval", r"'trainval' names no single dataset.*there are VOC2007/trainval, VOC2012"),
        ("VOC2010/trainval", "'VOC2010/trainval' names no single dataset"),
        ("VOC2012/trainvl", r"no list 'trainvl' in ImageSets/Main. Did you mean 'trainval'"),
    ],
)
def test_wrong_lists_of_two_years(tmp_path, name, message):
    root = write(tmp_path / "VOCdevkit", two_years())
    with pytest.raises(DataError, match=message):
        open_voc(root, splits={"train": name, "test": "VOC2007/test"})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme.txt": "x"}, r"no Annotations/\*.xml. Expected JPEGImages"),
        (without(sound(), "JPEGImages"), "no annotated image. 12 problems, the first: missing_im"),
        (without(sound(), "train.txt"), "has no train.txt: name a list.*splits"),
        (sound() | {f"JPEGImages/im{i}.jpg": b"" for i in range(12)}, "no usable image.*zero byt"),
        (
            sound() | {f"Annotations/im{i}.xml": xml("x", []) for i in range(12)},
            "no training image with an object is left.*no_objects",
        ),
        (
            {f"{top}/{k}": v for top in "ab" for k, v in sound(2).items()},
            r"contains several datasets.*or name lists of several.*train: b/trainval, test: a/test",
        ),
    ],
)
def test_what_is_no_data_set(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        open_voc(write(tmp_path, files))


def test_what_is_no_folder_or_zip(tmp_path):
    with pytest.raises(DataError, match=r"no such folder or zip"):
        open_voc(tmp_path / "nothing")
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"neither a folder nor a valid zip"):
        open_voc(tmp_path / "x.zip")


def test_a_damaged_zip_costs_the_damaged_image_only(tmp_path):
    path = write_zip(tmp_path / "x.zip", sound(), zipfile.ZIP_STORED)
    content = path.read_bytes()
    at = content.index(jpeg(3)) + 300
    path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    data = open_voc(path)
    (problem,) = data.problems
    assert (problem.kind, problem.where) == ("broken_image", "JPEGImages/im3.jpg")
    assert "wrong checksum" in problem.what


def test_real_blood_cells():
    data = open_voc(real_data("voc_detection/bccd_voc.zip"))
    assert [len(data.rows(s)) for s in ("train", "validation", "test")] == [205, 87, 72]
    assert [(p.kind, p.where) for p in data.problems] == [
        ("zero_area", "Annotations/BloodImage_00338.xml"),
        ("zero_area", "Annotations/BloodImage_00343.xml"),
    ]
    total = {name: 0 for name in data.classes}
    for split in ("train", "validation", "test"):
        for name, count in data.counts(split).items():
            total[name] += count
    assert total == {"Platelets": 361, "RBC": 4155 - 2, "WBC": 372}


def test_real_raccoons():
    options = {"splits": {"train": "train", "test": "val"}, "validation": 0.15}
    data = open_voc(real_data("voc_detection/raccoon_voc.zip"), **options)
    assert [len(data.rows(s)) for s in ("train", "validation", "test")] == [135, 23, 40]
    assert [(p.kind, p.where) for p in data.problems] == [
        ("near_copies", "raccoon_voc"),  # 21 and 45 are one picture, and so are 65 and 98
        *(("duplicate_across_splits", f"JPEGImages/raccoon-{number}.jpg") for number in (116, 83)),
    ]
    assert sum(sum(data.counts(s).values()) for s in ("train", "validation", "test")) == 217 - 2
