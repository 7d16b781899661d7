"""Refiners that PyTorch doesn't run, or that have other classes, at work in a run."""

import json
from shutil import copy

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.networks.endpoint import FACTS, Endpoint, serving
from tests.networks.onnx_files import describe
from tests.real import real_data
from tests.recipe_files import write_tiny
from tests.running import go, stage_folder, weights
from tinyrefinery.errors import CheckpointError, RecipeError
from tinyrefinery.models import create
from tinyrefinery.models.timm_network import TimmNetwork
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.refiners.assessment import Options, assess

DIGITS = [str(n) for n in range(10)]
STORED = "stages.refined.labels.store={form: float32}"


def onnx_file(path, seed=0):
    """A linear classifier of the mean color of pictures of 16 pixels."""
    draws = torch.Generator().manual_seed(seed)
    weight = torch.randn(10, 3, generator=draws).numpy()
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    facts = {"classes": DIGITS, "size": [16, 16], "mean": [0.5] * 3, "std": [0.25] * 3}
    return describe(path, **facts)


def refined_by(name, *more):
    return [
        "stages.plain=null",
        "data.source.channels=3",
        f"stages.refined.labels.by={name}",
        *more,
    ]


def check_live_and_stored(folder, by, *more):
    go(folder, "live", refined_by(by, *more))
    go(folder, "stored", refined_by(by, STORED, *more))
    assert weights(folder / "live", "refined") == weights(folder / "stored", "refined")
    stage = json.loads((stage_folder(folder / "live", "refined") / "stage.json").read_text())
    assert stage["generation"] == 2


def test_an_onnx_file(tmp_path):
    path = onnx_file(tmp_path / "net.onnx")
    check_live_and_stored(tmp_path, path)  # no "file:" is needed
    again = onnx_file(tmp_path / "other.onnx", seed=1)
    go(tmp_path, "live", refined_by(again))  # other weights: another network and store
    stores = {folder.name for folder in (tmp_path / "live" / "stages").iterdir()}
    assert len(stores) == 2


def test_two_onnx_files_have_two_stores(tmp_path):
    for seed in (0, 1):
        path = onnx_file(tmp_path / f"net{seed}.onnx", seed)
        store = f"stages.refined.labels.store={tmp_path / 'labels'}"
        go(tmp_path, f"run{seed}", refined_by(path, store))
    assert len(list((tmp_path / "labels").iterdir())) == 2


def test_a_litert_file(tmp_path):
    path = tmp_path / "net.tflite"
    copy(real_data("tflite/mlperf_tiny_pretrainedResnet_quant.tflite"), path)
    facts = {"classes": DIGITS, "size": 32, "mean": [0.0] * 3, "std": [1.0] * 3}
    (tmp_path / "net.tflite.yaml").write_text(json.dumps(facts))
    check_live_and_stored(tmp_path, path, "data.source.train=32")


def test_an_endpoint(tmp_path):
    with serving(Endpoint()) as server:
        check_live_and_stored(tmp_path, server.url)
        assert sum(server.posts) > 96
    with serving(Endpoint(FACTS | {"version": "2"})) as server:
        go(tmp_path, "live", refined_by(server.url))
    folders = [path.name for path in (tmp_path / "live" / "stages").iterdir()]
    assert len(folders) == 2  # another version is another network


def test_no_gradient_flows_through_a_file(tmp_path):
    path = onnx_file(tmp_path / "net.onnx")
    with pytest.raises(RecipeError, match=r"through_refiner.*has no gradient"):
        go(tmp_path, overrides=refined_by(path, "stages.refined.jitter={}"))
    constant = "stages.refined.jitter={through_refiner: false}"
    go(tmp_path, overrides=refined_by(path, constant, "stages.refined.epochs=1"))


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """A small ImageNet network of timm with random weights, as a file."""
    torch.manual_seed(0)
    network = create("timm:test_resnet", 1000, size=(32, 32))
    assert isinstance(network, TimmNetwork)
    path = tmp_path_factory.mktemp("timm") / "weights.pth"
    torch.save(network.network.state_dict(), path)
    return f"timm:test_resnet@{path}"


def class_map(**entries):
    return f"stages.refined.labels.classes={json.dumps(entries)}"


def test_a_network_of_imagenets_classes(imagenet, tmp_path, caplog):
    caplog.set_level("INFO", "tinyrefinery")
    half = {str(n): str(n % 9) for n in range(500)}
    more = class_map(**half), "stages.refined.labels.least_mass=0.4", "data.source.train=48"
    check_live_and_stored(tmp_path, imagenet, *more)
    assert f"refiner {imagenet}: leaves" in caplog.text
    assert "of the crops keep their given label (labels.least_mass 0.4)" in caplog.text
    assert "all of these classes among them: 9" in caplog.text
    evaluation = stage_folder(tmp_path / "live", "refined") / "evaluation.json"
    (kept,) = json.loads(evaluation.read_text())["class_map"]
    assert 0 < kept["mean"] < 1
    assert kept["unreached"] == ["9"]


def test_without_a_map_other_classes_are_refused(imagenet, tmp_path):
    with pytest.raises(CheckpointError, match=r"1000 classes.*Map them with labels.classes"):
        go(tmp_path, overrides=refined_by(imagenet))
    with pytest.raises(RecipeError, match=r"no class 'plat'. Did you mean 'plate'"):
        go(tmp_path, overrides=refined_by(imagenet, class_map(plat="1", n01440764="2")))


def test_a_map_that_no_refiner_needs(tmp_path):
    path = onnx_file(tmp_path / "net.onnx")
    with pytest.raises(RecipeError, match="every refiner has the data's classes"):
        go(tmp_path, overrides=refined_by(path, class_map(**{"1": "1", "2": "2"})))


def test_the_verdict_on_a_network_of_other_classes(imagenet, tmp_path):
    recipe = load_recipe(write_tiny(tmp_path), ["data.source.channels=3"])
    entries = {str(n): str(n % 10) for n in range(1000)}
    options = Options(images=24, crops=2, batch_norm="running", classes=entries)
    (network,) = open_networks([imagenet])
    found = assess([network], recipe, options)
    # No given label takes the place of a label, so untrained weights are near chance.
    assert found.measured[network.name].measures["train_crops"]["top1"] < 0.5
