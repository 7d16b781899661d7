"""ONNX artefacts predict what torch predicts, carry their facts, and damage is noticed."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from tests.networks.runs import write_network
from tinyrefinery.cli.main import app
from tinyrefinery.deploy.export.deployable import rewritten
from tinyrefinery.deploy.export.exporting import Export, export_network
from tinyrefinery.deploy.export.verify import verify
from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.models import create
from tinyrefinery.models.network_file import save_network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.networks.recipe_data import changed_source

NAMES = ["resnet8", "mobilenet_v1_025", "skipblocknet_xs"]


def named(photos):
    return [f"data.source.root={photos}"]


def write(path, name, size=32, classes=("no_person", "person")):
    """A network with random weights and plausible batch statistics, of color images."""
    torch.manual_seed(0)
    network = create(name, len(classes), size=size, channels=3)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, size, size))
    facts = {"name": name, "kwargs": {}, "classes": classes, "size": (size, size), "channels": 3}
    save_network(path, network.eval(), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), **facts)
    return open_network(path)


@pytest.fixture(scope="module")
def artefact(exported_run, tmp_path_factory):
    """The float artefact of the run's last stage."""
    out = tmp_path_factory.mktemp("artefact")
    (one,) = export_network(open_network(exported_run), Export(), out)
    return one.file


@pytest.mark.parametrize("name", NAMES)
def test_pixels_in_probabilities_out(name, tmp_path, exported_run):
    network = write(tmp_path / "net.safetensors", name)
    source = changed_source(network, named(exported_run.parent / "photos"))
    (one,) = export_network(network, Export(images=40), tmp_path / "out", source)
    assert one.passed
    # By hand: torch's own softmax of normalized pixels.
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)))
    with torch.no_grad():
        expected = torch.softmax(network.load()((scaled - mean) / std), dim=1).numpy()
    session = onnxruntime.InferenceSession(str(one.file))
    (found,) = session.run(None, {"image": pixels})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    kinds = {node.op_type for node in onnx.load(str(one.file)).graph.node}
    assert not kinds & {"BatchNormalization", "HardSigmoid", "HardSwish"}


def test_rewrites_are_exact():
    layers = nn.Sequential(nn.Hardswish(), nn.Sequential(nn.Hardsigmoid()))
    x = torch.linspace(-6, 6, 10_001)
    expected = layers(x)
    assert torch.equal(rewritten(layers)(x), expected) or torch.allclose(
        layers(x), expected, atol=3e-7, rtol=0
    )
    assert not any(type(m) in (nn.Hardswish, nn.Hardsigmoid) for m in layers.modules())


def test_the_artefact_opens_like_any_network(artefact, exported_run):
    network, origin = open_network(artefact), open_network(exported_run)
    assert network.classes == origin.classes
    pixels = torch.randint(0, 256, (5, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v) for v in (network.info.mean, network.info.std))
    found = network.load()((pixels / 255 - mean) / std).softmax(dim=1)
    expected = origin.load()((pixels / 255 - 0.5) / 0.25).softmax(dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_side_file_and_the_metadata_state_the_same(artefact):
    side = json.loads(artefact.with_name(f"{artefact.name}.json").read_text())
    entries = {e.key: e.value for e in onnx.load(str(artefact)).metadata_props}
    assert json.loads(entries["tinyrefinery"]) == side["facts"]
    assert side["facts"]["classes"] == ["no_person", "person"]
    assert side["facts"]["normalization"] == {"mean": [0.5], "std": [0.25], "where": "inside"}
    assert side["facts"]["stage"] == "refined"
    assert side["bytes"] == artefact.stat().st_size
    assert side["parity"]["split"] == "the validation split"


def test_metadata_preprocessing_leaves_normalization_to_the_caller(exported_run, tmp_path):
    settings = Export(preprocessing="metadata")
    (one,) = export_network(open_network(exported_run), settings, tmp_path)
    assert one.passed
    session = onnxruntime.InferenceSession(str(one.file))
    assert session.get_inputs()[0].type == "tensor(float)"
    assert open_network(one.file).info.mean == (0.5,)
    assert all(check.passed for check in verify(one.file))


def test_every_bit_flip_is_noticed(artefact, tmp_path):
    for path in artefact.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    copy = tmp_path / artefact.name
    assert all(check.passed for check in verify(copy))
    content, random = copy.read_bytes(), np.random.default_rng(0)
    for place in random.integers(0, len(content), 100):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        copy.write_bytes(damaged)
        assert not all(check.passed for check in verify(copy))
    copy.write_bytes(content[:-1])
    assert not all(check.passed for check in verify(copy))


def test_verify_tells_of_files_that_are_missing_or_of_others(artefact, tmp_path):
    copy = tmp_path / artefact.name
    copy.write_bytes(artefact.read_bytes())
    with pytest.raises(DataError, match="no such side file"):
        verify(copy)
    side = tmp_path / f"{artefact.name}.json"
    side.write_text("{}")
    with pytest.raises(DataError, match="side file is damaged"):
        verify(copy)


def test_a_difference_fails_and_only_the_report_is_kept(exported_run, tmp_path, monkeypatch):
    from tinyrefinery.deploy.export import deployable

    monkeypatch.setattr(deployable, "_column", lambda v: torch.full((1, len(v), 1, 1), 0.4))
    command = ["export", str(exported_run), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "FAIL" in result.output
    assert "not written" in result.output
    (report,) = (tmp_path / "out").iterdir()
    assert not json.loads(report.read_text())["passed"]


def test_int8_is_calibrated_on_training_images_and_smaller(exported_run, tmp_path):
    settings = Export(int8=True, calibration=32, max_drop=60)
    one, small = export_network(open_network(exported_run), settings, tmp_path)
    assert one.passed
    assert small.passed
    facts = open_network(small.file).load().metadata
    assert facts["precision"] == "int8"
    assert facts["calibration"] in ("minmax", "percentile", "entropy")
    weights = onnx.load(str(small.file)).graph.initializer
    per_channel = [w for w in weights if w.name.endswith("weight_scale") and len(w.dims) == 1]
    assert any(w.dims[0] > 1 for w in per_channel)
    assert all(check.passed for check in verify(small.file))


def test_bad_input(exported_run, tmp_path, artefact):
    network = open_network(exported_run)
    with pytest.raises(RecipeError, match=r"no target is named 'onx'\. Did you mean 'onnx'"):
        export_network(network, Export(to=("onx",)), tmp_path)
    with pytest.raises(DataError, match="exported already"):
        export_network(open_network(artefact), Export(), tmp_path)
    alone = open_network(write_network(tmp_path / "alone.safetensors", "alone"))
    with pytest.raises(DataError, match=r"Name some, e.g. data.source.root"):
        export_network(alone, Export(), tmp_path)
