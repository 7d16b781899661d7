"""Finished detectors measured on other images, and drawing boxes."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.detection.tiny_detector import measured, tiny
from tests.detection.voc_files import sound, write
from tinyrefinery.detection import finished_detectors as detection_look
from tinyrefinery.detection.build import box_data
from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.overrides import apply

pytest.importorskip("pycocotools")


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_drawing(trained, tmp_path):
    _, folder = trained
    pixels = np.full((80, 120, 3), 90, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    stage = detection_look.choose_detector(folder)
    assert stage.seed == 0
    written = detection_look.draw_files(stage, [tmp_path / "photo.png"], tmp_path, score=0.0)
    ((path, count),) = written
    drawn = opened(path)
    assert drawn.shape == pixels.shape
    assert count > 0
    assert (drawn != pixels).any()
    nothing = detection_look.draw_files(stage, [tmp_path / "photo.png"], tmp_path, score=1.0)
    assert nothing[0][1] == 0
    assert np.array_equal(opened(path), pixels)
    other = detection_look.choose_detector(folder, seed=1)
    assert detection_look.choose_detector(other.folder).key == other.key
    sheet = detection_look.draw_split(other, "test", tmp_path, count=3)
    assert opened(sheet).shape[1] > 3 * 320
    with pytest.raises(DataError, match="has no seed 7"):
        detection_look.choose_detector(folder, seed=7)


def test_other_images(trained, tmp_path):
    _, folder = trained
    files = sound()
    renamed = {
        k: v.replace("cat", "square").replace("dog", "disc") if isinstance(v, str) else v
        for k, v in files.items()
    }
    source = f"data.source={{name: voc, root: {write(tmp_path / 'voc', renamed)}}}"
    found = measured(folder, source)
    assert found[0]["test"]["classes"].keys() == {"square", "disc"}
    strange = f"data.source={{name: voc, root: {write(tmp_path / 'cats', files)}}}"
    with pytest.raises(DataError, match="class 'cat', which the detector was not trained on"):
        measured(folder, strange)
    with pytest.raises(DataError, match="nothing else"):
        measured(folder, "detector.size=96")
    with pytest.raises(RecipeError, match="inference"):
        measured(folder, "inference.score=2")


def test_other_images_need_no_training_split(trained, tmp_path):
    """New pictures are rarely sorted into lists; then all of them count."""
    _, folder = trained
    files = {
        k: v.replace("cat", "square").replace("dog", "disc") if isinstance(v, str) else v
        for k, v in sound().items()
    }
    lists = {k: v for k, v in files.items() if k.startswith("ImageSets")}
    bare = {k: v for k, v in files.items() if k not in lists}
    for name, some, images in (("bare", {}, 12), ("test", {"train": None}, 4)):
        kept = {k: v for k, v in lists.items() if "test" in k} if some else {}
        root = write(tmp_path / name, bare | kept)
        source = f"data.source={{name: voc, root: {root}}}"
        found = measured(folder, source)[0]["test"]
        assert (found["images"], found["blind_map11"]) == (images, None)
        only = [source, "data.source.classes=[disc, triangle]"]  # no triangle is there
        found = measured(folder, *only)[0]["test"]
        assert (found["images"], found["classes"].keys()) == (images, {"disc"})
    with pytest.raises(DataError, match="the validation split is empty; it has test"):
        measured(folder, source, split="validation")
    (tmp_path / "test" / "ImageSets" / "Main" / "test.txt").rename(tmp_path / "gone")
    (tmp_path / "test" / "ImageSets" / "Main" / "mine.txt").write_text("im1")
    with pytest.raises(DataError, match=r"no train.txt.*data.source.splits"):
        measured(folder, source)


@pytest.fixture
def logged():
    """The messages that are logged during a test."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("tinyrefinery"), Keep()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_faults_of_other_images_and_known_ones_are_logged(trained, tmp_path, monkeypatch, logged):
    _, folder = trained
    measured(folder, "inference.most=9")
    assert logged == []
    measured(folder, "data.source={name: shapes, train: 2, validation: 2, test: 2, side: 64}")
    assert logged == []
    files = {k: v for k, v in sound().items() if not k.startswith("ImageSets")}
    files = {
        k: v.replace("cat", "square").replace("dog", "disc") if isinstance(v, str) else v
        for k, v in files.items()
    }
    del files["Annotations/im3.xml"]
    measured(folder, f"data.source={{name: voc, root: {write(tmp_path / 'voc', files)}}}")
    (line,) = logged
    assert line.startswith("voc: 1 problem with the data, the first: missing annotation: JPEGIm")


def test_images_that_a_detector_used_are_not_held_out(trained, monkeypatch, logged):
    _, folder = trained
    data = box_data(tiny().data.source)
    used = np.flatnonzero(data.splits != "test")
    mixed = data.splits.copy()
    mixed[used] = "test"
    there = dataclasses.replace(data, splits=mixed)
    monkeypatch.setattr(detection_look.build, "box_data", lambda source, measured: there)
    found = measured(folder, "data.workers=0")
    for stage in detection_look.detectors(folder):
        before, after = stage.evaluation["test"], found[stage.seed]["test"]
        for name in ("images", "map11", "classes"):
            assert before[name] == after[name]
    assert [line.partition(": ")[2] for line in logged] == [
        f"{len(used)} of these {len(data)} images are left out: it was trained or chosen on them"
    ] * 2
    only = dataclasses.replace(data, splits=np.where(data.splits == "test", "train", "test"))
    monkeypatch.setattr(detection_look.build, "box_data", lambda source, measured: only)
    with pytest.raises(DataError, match="none of them is held out"):
        measured(folder, "data.workers=0")


def test_other_images_have_other_lists(tmp_path):
    """Only the lists of the folder that it was trained on are a run's own."""
    files = sound()
    files["ImageSets/Main/mine.txt"] = files.pop("ImageSets/Main/train.txt")
    root = write(tmp_path / "a", files)
    source = f"{{name: voc, root: {root}, splits: {{train: mine, test: test}}}}"
    own = tiny(f"data.source={source}")
    write(tmp_path / "b", {k: v for k, v in files.items() if "mine" not in k})

    def opened(*overrides):
        changed = check(apply(own.model_dump(mode="json"), list(overrides)), DetectionRecipe, "x")
        return detection_look._images(changed, own, overrides)

    assert len(opened("inference.score=0.5").rows("train")) == 7  # one in seven validates
    there = f"data.source.root={tmp_path / 'b'}"
    assert len(opened(there).rows("test")) == 4
    assert len(opened(there, "data.source.splits={validation: test}").rows("validation")) == 4
    with pytest.raises(DataError, match="no list 'mine'"):
        opened(f"data.source={source.replace(str(root), str(tmp_path / 'b'))}")
