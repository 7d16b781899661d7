"""`recipe check` on refiners from outside: files, models of timm, class maps."""

import pytest
import torch
from typer.testing import CliRunner

from tests.execution.test_other_refiners import onnx_file
from tests.recipe_files import TINY
from tinyrefinery.cli.main import app
from tinyrefinery.models import create
from tinyrefinery.models.timm_network import TimmNetwork

STREETS = "{name: street_numbers, train: 32, validation: 10, test: 10, digits: 1, channels: 3}"
REFINED = TINY[TINY.index("  - id: refined") : TINY.index("engine:")]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """`timm:NAME@FILE` of a small network with 1,000 classes."""
    torch.manual_seed(0)
    network = create("timm:test_resnet", 1000, size=(32, 32))
    assert isinstance(network, TimmNetwork)
    path = tmp_path_factory.mktemp("timm") / "weights.pth"
    torch.save(network.network.state_dict(), path)
    return f"timm:test_resnet@{path}"


def check(labels, *options, source=STREETS, more=""):
    """What `recipe check` prints of a recipe whose only stage is refined: status, out, errors."""
    stage = REFINED.replace("{name: refined, by: plain}", f"{{name: refined, {labels}}}")
    text = f"title: t\ndata:\n  source: {source}\n{more}stages:\n{stage}"
    text = text.replace("stages:", "  train_crop: {name: inception, size: 16}\nstages:", 1)
    with open("r.yaml", "w", encoding="utf-8") as file:
        file.write(text)
    done = CliRunner().invoke(app, ["recipe", "check", "r.yaml", *options])
    assert "Traceback" not in done.output
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["big.onnx", "file:big", "timm:test_resnet@big.pth"])
def test_a_missing_file_is_a_mistake_without_deep(here, name):
    code, _, errors = check(f'by: "{name}"')
    shown = f"file:{name}" if name == "big.onnx" else name
    place = here / name.removeprefix("file:").rpartition("@")[2]
    assert (code, errors) == (
        2,
        f"r.yaml: stages.refined.labels.by: '{shown}': there is no such file ({place}). Correct "
        "the path, which starts from the folder where you run the command, or put the file there\n",
    )


def test_a_good_file(here):
    onnx_file(here / "net.onnx")
    assert check("by: net.onnx")[0] == 0
    code, output, _ = check("by: net.onnx", "--deep")
    assert code == 0
    assert output.endswith("parameters\n")


def test_a_file_that_can_not_be_opened(here):
    (here / "net.onnx").write_bytes(b"x")
    (here / "net.tflite").write_bytes(b"y")
    assert check("by: [net.onnx, net.tflite]")[0] == 0
    code, _, errors = check("by: [net.onnx, net.tflite]", "--deep")
    first, second = errors.splitlines()
    assert code == 2
    assert first.startswith("r.yaml: stages.refined.labels.by: net.onnx: ")
    assert second.startswith("r.yaml: stages.refined.labels.by: net.tflite: ")


def test_a_file_of_other_classes_or_channels(here):
    onnx_file(here / "net.onnx")
    two = STREETS.replace("digits: 1", "digits: 2")
    errors = check("by: net.onnx", "--deep", source=two)[2]
    assert "r.yaml: stages.refined.labels.by: net.onnx: has 10 classes, but dataset" in errors
    gray = STREETS.replace(", channels: 3", "")
    errors = check("by: net.onnx", "--deep", source=gray)[2]
    assert "labels.by: net.onnx: takes images of 3 channels" in errors
    assert "Set data.source.channels=3" in errors


def test_each_wrong_entry_of_a_class_map_is_named(imagenet):
    classes = "{plat: '1', n01440764: '2', tench: '3', 1000: '4', goldfish: eleven}"
    code, _, errors = check(f'by: "{imagenet}", classes: {classes}', "--deep")
    lines = errors.splitlines()
    assert code == 2
    for line, name, text in zip(
        lines,
        ("plat", "tench", "1000", "goldfish"),
        (
            "has no class 'plat'. Did you mean 'plate'?",
            "class 0 stands for both '2' and '3'. Keep one of them",
            "Write one of its names or wnids, or a number from 0 to 999",
            "the data has no class 'eleven'",
        ),
        strict=True,
    ):
        assert line.startswith(f"r.yaml: stages.refined.labels.classes.{name}: ")
        assert text in line


def test_classes_of_the_data_that_no_class_stands_for(imagenet, here):
    labels = f'by: "{imagenet}", classes: {{{", ".join(f"{n}: {n}" for n in range(9))}}}'
    code, output, _ = check(labels, "--deep")
    assert code == 0
    assert f", {imagenet} can't predict 9 (such images keep their given labels)\n" in output
    (here / "more").mkdir()
    errors = check(labels, "--deep", more="  unlabelled: more\n")[2]
    assert "r.yaml: stages.refined.labels.classes: no class of a refiner stands for 9" in errors


def test_classes_without_a_map(imagenet, here):
    errors = check(f'by: "{imagenet}"', "--deep")[2]
    assert "stages.refined.labels.by" in errors
    assert "is pretrained for 1000 classes, but dataset" in errors
    onnx_file(here / "net.onnx")
    errors = check("by: net.onnx, classes: {1: 1, 2: 2}", "--deep")[2]
    assert "r.yaml: stages.refined.labels.classes: every refiner has the data's classes" in errors


def test_a_model_that_timm_does_not_have():
    errors = check('by: "timm:resnet19"', "--deep")[2]
    assert "stages.refined.labels.by: timm:resnet19: timm has no pretrained model" in errors


def test_without_the_data_the_refiners_side_is_checked(imagenet):
    away = "{name: folder, root: nowhere}"
    code, output, _ = check(f'by: "{imagenet}", classes: {{0: a, 1: b}}', "--deep", source=away)
    assert code == 0
    assert f", classes of {imagenet} not compared with the data's: nowhere" in output
    errors = check(f'by: "{imagenet}", classes: {{0: a, fishy: b}}', "--deep", source=away)[2]
    assert "stages.refined.labels.classes.fishy" in errors


def test_an_endpoint_is_not_asked():
    code, output, _ = check('by: "http://127.0.0.1:9/p"', "--deep")
    assert code == 0
    assert ", http://127.0.0.1:9/p was not asked\n" in output


VIT = "timm:vit_tiny_patch16_224"


def test_hints_that_can_not_be_compared_place_by_place():
    """The class token of a transformer has no place."""
    map_, pooled = (f'by: "{VIT}"}}\n    hints: {{of: {of}' for of in ("map", "pooled"))
    code, _, errors = check(map_, "--deep")
    assert code == 2
    assert f"r.yaml: stages.refined.hints.of: the features of '{VIT}' are 197 tokens" in errors
    assert "1000 classes" in check(pooled, "--deep")[2]  # the next mistake
