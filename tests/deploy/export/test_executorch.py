"""ExecuTorch files predict what the network predicts, in the runtime of their own environment."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.deploy.export.test_export import PIXELS, by_hand
from tests.networks.runs import CLASSES
from tinyrefinery import export, open_network
from tinyrefinery.deploy.export import executorch_runtime
from tinyrefinery.deploy.export.executorch_conversion import METHODS, export_program
from tinyrefinery.deploy.export.executorch_runtime import EXECUTORCH, predict_by_executorch
from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.side_files import vectors_file
from tinyrefinery.deploy.export.verification import verify
from tinyrefinery.device import tool_environment
from tinyrefinery.device.tool_environment import shared_torch, tool_folder, tool_python
from tinyrefinery.errors import CheckpointError, DataError, RecipeError, RefineryError


@pytest.fixture(scope="session")
def executorch():
    try:
        tool_python(lambda text: None, EXECUTORCH)
    except RefineryError as error:
        pytest.skip(f"ExecuTorch is not available: {error}")


@pytest.mark.slow
def test_it_takes_pixels_and_gives_the_networks_probabilities(run, tmp_path, executorch):
    (done,) = export(run, "executorch", folder=tmp_path)
    assert done.path.name == f"{open_network(run).slug}.pte"
    assert done.parity.verdict == "PASS"
    assert "validation images" in done.parity.images
    np.testing.assert_allclose(predict_by_executorch(done.path, PIXELS), by_hand(run), atol=1e-6)
    content = done.path.read_bytes()
    start = content.index(b'{"calibration"')
    entry, _ = json.JSONDecoder().raw_decode(content[start:].decode("utf-8", "replace"))
    assert entry["classes"] == list(CLASSES)
    assert entry["target"] == done.record["target"] == "executorch"
    with np.load(vectors_file(done.path)) as vectors:
        assert vectors["inputs"].dtype == np.uint8
    assert verify(done.path).passed
    done.path.write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        verify(done.path)
    with pytest.raises(CheckpointError, match=r"ExecuTorch can't run it: .*The log is in"):
        predict_by_executorch(done.path, PIXELS.astype(np.float64))


@pytest.mark.slow
def test_int8_is_smaller_and_near(run, tmp_path, executorch):
    (done,) = export(run, "executorch", folder=tmp_path, int8=True)
    found = predict_by_executorch(done.path, PIXELS)
    assert 0 < np.abs(found - by_hand(run)).max() < 0.1
    assert done.record["calibration"] in METHODS
    assert verify(done.path).passed


@pytest.mark.slow
def test_normalization_can_stay_outside(run, tmp_path, executorch):
    (done,) = export(run, "executorch", folder=tmp_path, preprocessing="metadata")
    images = ((PIXELS / 255 - 0.5) / 0.25).astype(np.float32)
    np.testing.assert_allclose(predict_by_executorch(done.path, images), by_hand(run), atol=1e-6)


def test_layers_cannot_stay_in_float(run, tmp_path):
    with pytest.raises(RecipeError, match="--keep-float is not available for ExecuTorch"):
        export(run, ["onnx", "executorch"], folder=tmp_path, int8=True, keep_float=1)


def test_a_network_that_torch_cannot_export_is_named(tmp_path):
    class Branches(nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    module = Exportable(Branches(), (0.5,), (0.25,), normalize=True)
    path = tmp_path / "network.pt2"
    with pytest.raises(RefineryError, match=r"^odd: torch can't export it.*Nothing was written"):
        export_program(module, (4, 4), 1, "odd", path, pixels=True)
    assert not path.exists()


def test_only_verify_runs_its_files(tmp_path):
    path = tmp_path / "network.pte"
    path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"network\.pte: only `tinyrefinery verify`.*Name the run"):
        open_network(path)


def test_without_a_connection_it_is_one_message(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    tools = replace(EXECUTORCH, packages=("absl-py==2.5.1",))
    monkeypatch.setattr(executorch_runtime, "EXECUTORCH", tools)
    with pytest.raises(
        RefineryError, match=r"ExecuTorch can't be installed.*log is in .*--to onnx"
    ):
        export(run, "executorch", folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """What would be run to make an environment."""
    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path))
    made = []
    monkeypatch.setattr(tool_environment, "_run", lambda command, *_: made.append(command))
    return made


def test_a_torch_that_does_not_fit_is_not_shared(commands, tmp_path):
    fits = replace(EXECUTORCH, torch=".".join(torch.__version__.split(".")[:2]) + ".99")
    other = replace(EXECUTORCH, torch="1.0.0")
    assert (shared_torch(fits) / "torch" / "__init__.py").exists()
    assert shared_torch(other) is None
    assert shared_torch(tool_environment.LITERT) is None
    assert tool_folder(fits) != tool_folder(other)
    tool_folder(other).mkdir(parents=True)
    tool_python(lambda text: None, other)
    installed = [argument for command in commands for argument in command]
    assert "torch==1.0.0" in installed
    assert not list(tmp_path.rglob("shared.pth"))
