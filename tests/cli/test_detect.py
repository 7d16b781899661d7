"""`tinyrefinery detect`: what a user does, and what a user does wrong."""

import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.detection.tiny_detector import TINY
from tests.detection.voc_files import sound, write, xml
from tinyrefinery.cli.main import app

pytest.importorskip("pycocotools")


def call(*arguments):
    # Wide enough for the table of measures, whatever the terminal that tests run in.
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["detect", *map(str, arguments)])


def refused(done, code=2):
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    """A run on a faulty VOC folder, through the commands."""
    home = tmp_path_factory.mktemp("journey")
    files = sound()
    files["Annotations/im1.xml"] = xml("im1", [("cat", 9, 9, 9, 9), ("cat", 2, 5, 27, 30)])
    recipe = home / "pets.yaml"
    source = f"{{name: voc, root: {write(home / 'pets', files)}, validation: 0.25}}"
    text = TINY.replace("{name: shapes, train: 20, validation: 6, test: 6, side: 64}", source)
    recipe.write_text(text)
    done = call("train", recipe, "training.epochs=1", "--runs", home / "runs", "--name", "pets")
    return home, done


def test_train_evaluate_draw(journey):
    home, done = journey
    assert done.exit_code == 0, done.output
    assert "1 problems" in done.output
    assert re.search(r"mAP\s+of 11 points|11\s+points", done.output), done.output
    run = home / "runs" / "pets"
    excluded = (run / "excluded.csv").read_text()
    assert "zero_area" in excluded
    assert "im1.xml" in excluded
    assert (run / "results.csv").exists()
    for split in ("train", "validation", "test"):
        assert split in call("evaluate", run, "--split", split).output
    assert "test:" in call("evaluate", run, "inference.score=0.2").output
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(home / "new.jpg")
    drawn = call("draw", run, home / "new.jpg", "--score", "0.1")
    assert drawn.exit_code == 0, drawn.output
    assert (run / "drawn" / "new-boxes.png").exists()
    assert call("draw", run, "--out", home / "sheets").exit_code == 0
    assert (home / "sheets" / "sheet-validation.png").exists()


def test_strict(journey):
    home, _ = journey
    told = refused(call("train", home / "pets.yaml", "--strict", "--runs", home / "x"))
    assert "zero_area: Annotations/im1.xml" in told


def test_smoke(tmp_path):
    done = call("train", "detection/raccoon", "--smoke", "--runs", tmp_path)
    assert done.exit_code == 0, done.output


def test_what_is_wrong_with_images(journey):
    home, _ = journey
    run = home / "runs" / "pets"
    (home / "text.jpg").write_text("no image")
    assert "text.jpg: can't be read as an image" in refused(call("draw", run, home / "text.jpg"))
    assert "none.jpg" in refused(call("draw", run, home / "none.jpg"))
    (home / "other").mkdir()
    (home / "other" / "new.png").write_bytes(b"")
    twice = refused(call("draw", run, home / "new.jpg", home / "other" / "new.png"))
    assert "two images are named 'new'" in twice


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "detection/racoon"), "did you mean detection/raccoon"),
        (("train", "starter/demo"), "is a recipe of networks that classify"),
        (("train", "detection/raccoon", "data.source.root=/nowhere.zip"), "/nowhere.zip: no such"),
        (("train", "detection/raccoon", "detector.sise=3"), "did you mean 'size'"),
        (
            (
                "train",
                "detection/raccoon",
                "data.source={name: shapes}",
                "detector.backbone.name=resnet9",
            ),
            "no model is named 'resnet9'",
        ),
        (
            (
                "train",
                "detection/raccoon",
                "data.source={name: shapes}",
                "detector.backbone.name=timm:vit_tiny_patch16_224",
            ),
            "can't process an image of 256 pixels",
        ),
        (("evaluate", "/nowhere"), "no run folder"),
        (("draw", "/nowhere"), "no run folder"),
        (("draw", "/nowhere", "--split", "tset"), "no split is named 'tset'. Did you mean 'test'"),
    ],
)
def test_wrong_input(tmp_path, arguments, message):
    extra = ("--runs", tmp_path) if arguments[0] == "train" else ()
    assert message in refused(call(*arguments, *extra))


def test_run_says_which_command_a_detector_needs():
    done = CliRunner().invoke(app, ["run", "detection/raccoon"])
    assert "tinyrefinery detect train" in refused(done)
    done = CliRunner().invoke(app, ["recipe", "check", "detection/raccoon", "--deep"])
    assert done.exit_code == 0, done.output
    assert "parameters" in done.output
    done = CliRunner().invoke(app, ["recipe", "show", "detection/raccoon", "--smoke"])
    assert "shapes" in done.output
