"""The time of each layer of an ONNX file."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("onnx")

from tests.deploy.export.test_layer_effects import graph_of_two_layers
from tinyrefinery.cli.main import app
from tinyrefinery.deploy.bench.layer_times import WARM_UP, _by_layer, layer_times


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.onnx"
    draws = np.random.default_rng(0)
    wide, narrow = draws.standard_normal((6, 8)), draws.standard_normal((4, 6))
    graph_of_two_layers(path, wide.astype(np.float32), narrow.astype(np.float32))
    return path


def test_every_layer_has_a_time(file):
    found = layer_times(file, passes=10)
    kinds = {each.kind for each in found}
    assert any("Conv" in kind for kind in kinds)
    assert any("Gemm" in kind or "MatMul" in kind for kind in kinds)
    assert sum(each.share for each in found) == pytest.approx(1)
    times = [each.milliseconds for each in found]
    assert times == sorted(times, reverse=True)
    assert times[0] > 0


def test_times_are_medians_after_the_warm_up():
    def event(name, duration, cat="Node"):
        return {"cat": cat, "name": name, "dur": duration, "args": {"op_name": "Conv"}}

    events = [event("a_kernel_time", 10_000)] * WARM_UP
    events += [event("a_kernel_time", time) for time in (100, 300, 900)]
    events += [event("b_kernel_time", 100)] * (WARM_UP + 3)
    events += [event("a_fence_before", 5000), event("model_run", 9999, cat="Session")]
    first, second = _by_layer(events)
    assert (first.layer, first.milliseconds) == ("a", 0.3)
    assert first.share == pytest.approx(0.75)
    assert (second.layer, second.milliseconds) == ("b", 0.1)


def test_bench_lists_the_layers_of_onnx_files(file, tmp_path):
    out = tmp_path / "bench.json"
    command = ["bench", str(file), "--passes", "5", "--layers", "--json", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "Conv" in done.output
    layers = json.loads(out.read_text())["layers"][str(file)]
    assert {"layer", "kind", "milliseconds", "share"} == set(layers[0])
    done = CliRunner().invoke(app, ["bench", "resnet8", "--layers"])
    assert done.exit_code == 2
    assert "--layers: only ONNX Runtime reports the time" in " ".join(done.output.split())
