"""Which networks are meant, that every backend computes the same, and what is told."""

import csv
import json

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert")

from tests.device.litert_files import random_network
from tinyrefinery.cli.main import app
from tinyrefinery.deploy.bench import backends
from tinyrefinery.deploy.bench.bench_measuring import Question, measure
from tinyrefinery.deploy.bench.bench_models import Candidate, by_name, candidates
from tinyrefinery.deploy.bench.latency_report import latency_notes
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.errors import CheckpointError, DataError, RecipeError
from tinyrefinery.models import create
from tinyrefinery.models.network_file import save_network


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    network = create("resnet8", 3, size=32)
    path = tmp_path / "model.safetensors"
    save_network(
        path, network, name="resnet8", kwargs={}, classes=["a", "b", "c"], size=(32, 32),
        channels=3, mean=[0.0] * 3, std=[1.0] * 3,
    )  # fmt: skip
    return path


def test_names_and_files(file):
    named, found = candidates(["resnet8", str(file)], 48)
    assert (named.name, named.size) == ("resnet8", (48, 48))
    whole = create("resnet8", 1000, size=48)
    assert named.parameters == sum(weights.numel() for weights in whole.parameters())
    assert (found.name, found.size, found.network.training) == (
        "model.safetensors",
        (48, 48),
        False,
    )
    assert candidates([str(file)])[0].size == (32, 32)
    assert candidates(["resnet8"])[0].size == (224, 224)


def test_files_run_in_their_own_runtime_beside_pytorch(tmp_path):
    path = random_network(tmp_path / "net.tflite", 3)
    (taken,) = candidates([str(path)])
    small, file = candidates(["resnet8", str(path)], taken.size[0])
    assert (file.runtime, file.channels) == ("litert", taken.channels)
    assert file.macs == device_cost(path).macs
    question = Question(backends=("torch", "channels_last"), passes=5)
    found = measure([small, file], question)
    lines = found["lines"]
    shown = [(line["network"], line["backend"]) for line in lines]
    assert shown == [("resnet8", "torch"), ("resnet8", "channels_last"), ("net.tflite", "litert")]
    assert lines[0]["ratio"] == 1
    assert 0 < lines[2]["ratio"] == pytest.approx(lines[2]["cpu"] / lines[0]["cpu"], rel=0.5)
    assert lines[2]["parameters"] is None
    assert found["machine"]["versions"]["litert"]
    assert "relative to resnet8 with torch" in latency_notes(found)[-1 - found["busy"]]
    assert [line["network"] for line in measure([file], question)["lines"]] == ["net.tflite"]
    with pytest.raises(DataError, match=r"net\.tflite: is timed with one image per pass"):
        measure([small, file], Question(batch=2))
    with pytest.raises(DataError, match=r"net\.tflite: takes images of .* Leave --size and"):
        candidates([str(path)], taken.size[0] + 1)


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("runs/nowhere", DataError, "no such run folder"),
        ("gone.safetensors", DataError, "gone.safetensors: there is no such file"),
        ("gone.onnx", DataError, "gone.onnx: there is no such file"),
        ("resnet9", RecipeError, "resnet8"),
    ],
)
def test_what_is_not_there(name, kind, told):
    with pytest.raises(kind, match=told):
        candidates([name])


def test_statistics_are_measured_so_that_numbers_stay_numbers():
    features = by_name("skipblocknet_xs", 64).network.forward_features(torch.randn(2, 3, 64, 64))
    assert features.std() > 0.1


def test_drawing_weights_leaves_the_random_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    by_name("resnet8", 32)
    assert torch.equal(before, torch.get_rng_state())


def test_lines_ratios_and_threads():
    networks = [by_name("resnet8", 32), by_name("resnet8", 32, label="wide", width=2)]
    before = torch.get_num_threads()
    found = measure(networks, Question(("torch", "channels_last"), batch=2, passes=7))
    assert torch.get_num_threads() == before
    assert [(e["network"], e["backend"]) for e in found["lines"]] == [
        ("resnet8", "torch"), ("wide", "torch"), ("resnet8", "channels_last"),
        ("wide", "channels_last"),
    ]  # fmt: skip
    assert [e["ratio"] for e in found["lines"]][::2] == [1.0, 1.0]
    assert {e["n"] for e in found["lines"]} == {10}  # whole turns
    assert found["lines"][1]["macs"] > 3 * found["lines"][0]["macs"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_onnx_runtime_computes_the_same():
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    network = by_name("resnet8", 32).network
    images = torch.randn(2, 3, 32, 32)
    run = backends.prepare("onnxruntime", "resnet8", network, images, 1)
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(run()), network(images), rtol=1e-3, atol=1e-4)


def test_a_backend_that_computes_something_else_is_refused(monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "wrong", lambda network, images, threads: lambda: images)
    with pytest.raises(DataError, match="differ from PyTorch's"):
        backends.prepare("wrong", "it", nn.Tanh(), torch.ones(1, 3, 2, 2), 1)
    with pytest.raises(RecipeError, match="no backend is named"):
        backends.prepare("tensorrt", "it", nn.Tanh(), torch.ones(1, 3, 2, 2), 1)


def test_a_size_that_wont_do_is_told():
    network = Candidate("flat", nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), 3, (8, 8))
    with pytest.raises(DataError, match=r"flat: torch can't run it on images \(1, 3, 8, 8\)"):
        measure([network], Question())


def test_the_command_writes_what_it_prints(file, tmp_path):
    out = tmp_path / "out"
    words = ["latency", str(file), "street_cnn", "--size", "32", "--passes", "1"]
    done = CliRunner().invoke(app, [*words, "--backend", "torch", "--out", str(out)])
    assert done.exit_code == 0, done.output
    with (out / "latency.csv").open() as lines:
        assert [line["network"] for line in csv.DictReader(lines)] == [
            "model.safetensors", "street_cnn",
        ]  # fmt: skip
    found = json.loads((out / "latency.json").read_text())
    assert found["settings"]["threads"] == 1
    assert found["machine"]["versions"]["torch"]


def test_a_recipe_is_no_table_of_latencies():
    done = CliRunner().invoke(app, ["latency", "bias_loss/table1"])
    assert done.exit_code == 2
    assert "is not a latency table" in done.output


@pytest.mark.parametrize("name", ["net.tflite", "net.onnx"])
def test_a_damaged_file_is_one_message(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"damaged!")
    with pytest.raises(CheckpointError, match=r"net\..*: is not a"):
        candidates([str(path)])
