"""Every architecture, at a small size, exported to both formats."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.deploy.export.test_export_onnx import named, write
from tinyrefinery.deploy.export.exporting import Export, export_network
from tinyrefinery.deploy.export.verify import verify
from tinyrefinery.models import MODELS
from tinyrefinery.networks.opening import open_network
from tinyrefinery.networks.recipe_data import changed_source

pytestmark = pytest.mark.slow
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs tinyrefinery[litert]")
SIZES = {"alexnet": 64}


def exported(network, run, out, settings):
    source = changed_source(network, named(run.parent / "photos"))
    return export_network(network, settings, out, source)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("to", ["onnx", "litert"])
def test_float_artefacts_equal_torch(name, to, tmp_path, exported_run):
    network = write(tmp_path / "net.safetensors", name, SIZES.get(name, 32))
    (one,) = exported(network, exported_run, tmp_path, Export(to=(to,), images=16))
    assert one.passed, one.parity.lines()
    assert all(check.passed for check in verify(one.file))


def test_int8_litert_takes_pixels_less_128_and_carries_facts(tmp_path, exported_run):
    settings = Export(to=("litert",), int8=True, max_drop=60)
    origin = open_network(exported_run)
    _, small = export_network(origin, settings, tmp_path)
    interpreter = litert.Interpreter(str(small.file))
    (entry,) = interpreter.get_input_details()
    assert (entry["dtype"], entry["quantization"]) == (np.int8, (1.0, -128))
    scales = [len(d["quantization_parameters"]["scales"]) for d in interpreter.get_tensor_details()]
    assert max(scales) > 1  # per channel
    network = open_network(small.file)
    assert network.classes == origin.classes
    assert network.load().metadata["calibration_images"] == 54
    found = network.load()(torch.full((1, 1, 16, 16), 128.0)).softmax(dim=1)
    expected = origin.load()(torch.full((1, 1, 16, 16), (128 / 255 - 0.5) / 0.25)).softmax(dim=1)
    torch.testing.assert_close(found, expected, atol=0.15, rtol=0)


def test_a_network_that_cannot_be_converted_leaves_nothing(tmp_path, exported_run, monkeypatch):
    from tinyrefinery.deploy.export import litert_target
    from tinyrefinery.errors import DataError

    broken = tmp_path / "script.py"
    broken.write_text("raise SystemExit('no such operator: Foo')")
    monkeypatch.setattr(litert_target, "_SCRIPT", broken)
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"no such operator: Foo\). Log: ") as caught:
        export_network(open_network(exported_run), Export(to=("litert",)), out)
    assert Path(str(caught.value).rpartition("Log: ")[2]).exists()
    assert not out.exists()
