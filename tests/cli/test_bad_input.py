"""Wrong input at the command line: one clear message, an exit code, no traceback, nothing lost."""

import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.recipe_files import TINY, write_tiny
from tinyrefinery.cli.main import app

FOLDER = "data.source={name: folder, root: ROOT, channels: 1, validation: 0.3, test: 0.2}"


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def refused(done, code=2):
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return " ".join(done.output.split())


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for label, base in (("cat", 60), ("dog", 180)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(24):
            pixels = rng.integers(base - 50, base + 50, (20, 24), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def trained(tmp_path):
    done = call("run", write_tiny(tmp_path), "--name", "base", "--runs", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    return tmp_path / "runs" / "base"


CHANGES = {
    "unknown key": ("stages.plain.epoch=3", "unknown key|did you mean 'epochs'"),
    "wrong type": ("stages.plain.epochs=many", "stages.plain.epochs|integer"),
    "later generation": (
        "stages.plain.labels={name: refined, by: refined}",
        "stages.plain.labels.by: 'refined' is a later generation",
    ),
    "missing stage": (
        "stages.refined.labels.by=plane",
        "no stage 'plane'|did you mean 'plain'",
    ),
    "unknown stage in an override": ("stages.refind.epochs=3", "refind|refined"),
    "a refiner of other classes": (
        "stages.refined.labels.by=timm:resnet18",
        "'timm:resnet18': is pretrained for 1000 classes, but dataset|has 10|fine-tune it",
    ),
    "an unknown model of timm": (
        "stages.refined.labels.by=timm:resnet1",
        "timm:resnet1",
    ),
    "one network twice": (
        "stages.refined.labels.by=[plain, plain]",
        "'plain'|more than once",
    ),
    "batch that devices can't share": (
        "engine={devices: 3}",
        "can't be shared evenly by 3 devices",
    ),
    "unknown source": ("data.source={name: foldr, root: x}", "foldr"),
    "unknown model": ("stages.plain.model={name: resnet9}", "resnet9|Did you mean"),
    "unknown option of a model": (
        "stages.plain.model={name: resnet8, kwargs: {widht: 2}}",
        "widht|Did you mean 'width'",
    ),
    "no such folder": (FOLDER.replace("ROOT", "/nowhere"), "/nowhere"),
    "no such device": ("engine={device: cuda}", "engine: device 'cuda'"),
    "crop larger than the image": (
        "data.train_crop={name: pad, size: 80, padding: 4}",
        "does not fit into an image",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_wrong_recipe(tmp_path, case):
    change, expected = CHANGES[case]
    done = call("run", write_tiny(tmp_path), change, "--runs", tmp_path / "runs")
    told = refused(done)
    for part in expected.split("|"):
        assert part in told, told


def test_no_such_recipe(tmp_path):
    told = refused(call("run", "starter/foldr"))
    assert "foldr" in told
    assert "starter/folder" in told


def test_not_yaml(tmp_path):
    path = write_tiny(tmp_path, TINY + "\n  - oops: [")
    assert "tiny.yaml: line" in refused(call("run", path))


def test_a_class_count_that_does_not_fit_the_checkpoint(trained, tmp_path):
    (model,) = trained.glob("stages/plain-*/model.safetensors")
    overrides = [f"stages.plain.model.weights={model}", "data.source.digits=2"]
    told = refused(call("run", tmp_path / "tiny.yaml", *overrides, "--runs", tmp_path / "runs"))
    assert "trained for 10 classes, but 100 are needed" in told


def test_a_truncated_checkpoint(trained, tmp_path):
    (model,) = trained.glob("stages/plain-*/model.safetensors")
    model.write_bytes(model.read_bytes()[:-100])
    arguments = ("run", tmp_path / "tiny.yaml", "--name", "base", "--runs", tmp_path / "runs")
    told = refused(call(*arguments))
    assert "model.safetensors" in told
    assert "delete the stage's folder" in told
    assert list(trained.glob("stages/refined-*/done.json")), "what was made is lost"
    shutil.rmtree(model.parent)
    assert call(*arguments).exit_code == 0


def test_a_truncated_data_file(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"image": [b"x"] * 50, "label": [0, 1] * 25}), path)
    path.write_bytes(path.read_bytes()[:200])
    change = f"data.source={{name: parquet, path: {path}}}"
    told = refused(call("run", write_tiny(tmp_path), change, "--runs", tmp_path / "runs"))
    assert "train.parquet" in told


def test_an_image_of_zero_bytes(photos, tmp_path):
    (photos / "cat" / "empty.png").write_bytes(b"")
    (photos / "dog" / "text.png").write_text("not a picture")
    source = FOLDER.replace("ROOT", str(photos))
    arguments = ["run", write_tiny(tmp_path), source, "--name", "pets", "--runs", tmp_path / "runs"]
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert "2 problems" in done.output
    excluded = (tmp_path / "runs" / "pets" / "excluded.csv").read_text()
    assert "empty.png" in excluded
    assert "text.png" in excluded
    told = refused(call(*arguments, "data.source.strict=true"))
    assert "empty.png" in told


def test_a_folder_without_classes(tmp_path):
    (tmp_path / "photos").mkdir()
    source = FOLDER.replace("ROOT", str(tmp_path / "photos"))
    told = refused(call("run", write_tiny(tmp_path), source, "--runs", tmp_path / "runs"))
    assert str(tmp_path / "photos") in told.replace(" ", "")


def test_a_report_of_nothing(tmp_path):
    assert "no run folder" in refused(call("report", tmp_path))


def test_debug_shows_the_traceback(tmp_path):
    done = call("--debug", "run", write_tiny(tmp_path), "stages.plain.epochs=many")
    assert done.exit_code == 1
    assert done.exception is not None


def test_smoke_looks_at_the_folder(photos, tmp_path):
    (photos / "cat" / "empty.png").write_bytes(b"")
    source = FOLDER.replace("ROOT", str(photos))
    where = ["--runs", tmp_path / "runs", "--name", "dry", "--smoke"]
    done = call("run", write_tiny(tmp_path), source, *where)
    assert done.exit_code == 0, done.output
    assert "empty.png" in (tmp_path / "runs" / "dry" / "excluded.csv").read_text()
    assert '"cat"' in (tmp_path / "runs" / "dry" / "data.json").read_text()


def test_smoke_of_a_folder_that_is_not_there(tmp_path):
    source = FOLDER.replace("ROOT", str(tmp_path / "phtos"))
    told = refused(call("run", write_tiny(tmp_path), source, "--runs", tmp_path, "--smoke"))
    assert "phtos: there is no such folder" in told
