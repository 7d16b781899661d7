"""Recipes of detectors: strict, with overrides, and small with --smoke."""

import subprocess
import sys

import pytest

from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.detection import is_detection, load_detection
from tinyrefinery.recipe.load import dump
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.recipe.smoke import smoke

PATH = locate("detection/raccoon")


def test_it_loads_with_overrides_and_survives_yaml(tmp_path):
    recipe = load_detection(PATH, ["training.epochs=7", "data.augment.crop=null"])
    assert recipe.training.epochs == 7
    assert recipe.data.augment.crop is None
    path = tmp_path / "again.yaml"
    path.write_text(dump(recipe))
    assert load_detection(path) == recipe
    assert is_detection(path)
    assert not is_detection(locate("starter/demo"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("detector.sise=3", r"detector.sise: unknown key \(did you mean 'size'"),
        ("detector.size=63", "detector.size: .*64"),
        ("detector.strides=[32, 16]", "detector.strides: should be rising powers of two"),
        ("detector.strides=[12]", "powers of two"),
        ("detector.scales=[0.9, 0.2]", "detector.scales: should be"),
        ("detector.aspects=[0.5]", "detector.aspects"),
        ("detector.backbone.init_from=model.safetensors", "init_from: .*file:"),
        ("start.seed=1", r"detector.backbone.start: 'seed=1'.*init_from=recipe:NAME"),
        ("training.epochs=0", "training.epochs"),
        (
            "training.schedule={name: cosine, warmup: 200}",
            "schedule.warmup: .* shorter than epochs",
        ),
        ("training.schedule={name: plateau, metric: validation_top1}", "validation_loss only"),
        ("training.schedule={name: plateau}\0training.evaluate_every=101", "never see"),
        ("training.loss.overlap=1", "training.loss.overlap"),
        ("data.augment.crop={overlaps: []}", "crop.overlaps: should have at least one"),
        ("data.augment.crop={scale: [0.0, 1.0]}", "crop.scale: should be"),
        ("data.augment.flip=true", "data.augment.flip"),
        ("data.source={name: coco}", "no kind is named 'coco'.*shapes"),
        ("data.source.splits={train: a, dev: b}", "data.source.splits"),
        ("engine.devices=2", "engine.devices: a detector is trained by one process"),
        ("engine.compile=true", "engine.compile: a detector is not compiled"),
        ("training.batch_size=1", "training.batch_size"),
        ("engine.precision=bf16", "engine.precision: a detector is trained in 32 bits"),
    ],
)
def test_mistakes_are_told_with_their_place(override, message):
    with pytest.raises(RecipeError, match=message):
        load_detection(PATH, override.split("\0"))


def test_overrides_of_the_start_are_kept_with_the_backbone(tmp_path):
    init = "detector.backbone.init_from=recipe:detection/backbone"
    recipe = load_detection(PATH, [init, "start.seed=3", "start.data.source.root=photos/"])
    assert recipe.detector.backbone.start == ("seed=3", "data.source.root=photos/")
    (tmp_path / "again.yaml").write_text(dump(recipe))
    assert load_detection(tmp_path / "again.yaml") == recipe


@pytest.mark.parametrize("name", ["raccoon", "blood_cells"])
def test_smoke_needs_no_file(name):
    overrides = ["detector.backbone.init_from=file:x", "engine.device=cuda", "training.ema=0.9"]
    small = smoke(load_detection(locate(f"detection/{name}"), overrides))
    assert small.data.source.name == "shapes"
    assert small.detector.backbone.init_from is None
    assert (small.training.epochs, small.detector.size, small.engine.device) == (1, 96, "cpu")
    assert small.detector.extra == load_detection(locate(f"detection/{name}")).detector.extra
    assert small.training.ema == 0.9


def test_it_needs_no_torch():
    code = "import sys, tinyrefinery.recipe.detection; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
