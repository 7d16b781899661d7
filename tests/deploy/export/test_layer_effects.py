"""What int8 costs each layer, against NumPy in float64."""

import numpy as np
import onnx
import pytest
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from tinyrefinery import export
from tinyrefinery.deploy.export.explaining import explain_layers
from tinyrefinery.deploy.export.layer_causes import find_cause
from tinyrefinery.deploy.export.layer_effects import EffectImages, signal_to_noise
from tinyrefinery.deploy.export.litert_script import entropy_limit
from tinyrefinery.errors import RecipeError

UINT8 = np.dtype(np.uint8)


def graph_of_two_layers(path, weights, second):
    """(1, 1, 1, 8) images -> a 1x1 convolution with ReLU -> a linear layer -> softmax."""
    constants = {"a.weight": weights.reshape(6, 8, 1, 1), "b.weight": second}
    constants["shape"] = np.array([1, 6], np.int64)
    nodes = [
        make_node("Transpose", ["image"], ["nchw"], "t", perm=[0, 3, 1, 2]),
        make_node("Conv", ["nchw", "a.weight"], ["conv"], "conv"),
        make_node("Relu", ["conv"], ["relu"], "relu"),
        make_node("Reshape", ["relu", "shape"], ["flat"], "reshape"),
        make_node("Gemm", ["flat", "b.weight"], ["logits"], "gemm", transB=1),
        make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    kinds = [
        make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 1, 1, 8]), ("probabilities", [1, 4]))
    ]
    values = [onnx.numpy_helper.from_array(v, name) for name, v in constants.items()]
    graph = make_graph(nodes, "net", kinds[:1], kinds[1:], values)
    onnx.save(make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=10), path)


def rounded(values, low, high, steps):
    """Values in float64, rounded to equal steps of a range."""
    step = (high - low) / steps
    return np.clip(np.rint((values - low) / step), 0, steps) * step + low


def test_one_layer_in_8_bits_is_what_numpy_computes(tmp_path):
    draws = np.random.default_rng(0)
    weights, second = draws.normal(size=(6, 8)), draws.normal(size=(4, 6))
    inputs = draws.uniform(0, 255, (12, 1, 1, 8)).astype(np.float32)
    labels = draws.integers(0, 4, 12)
    graph = tmp_path / "g.onnx"
    graph_of_two_layers(graph, weights.astype(np.float32), second.astype(np.float32))
    effects = explain_layers(
        graph, inputs, EffectImages(inputs, labels), "minmax", pixels=True, say=lambda text: None
    )
    by_name = {effect.layer: effect for effect in effects}
    assert set(by_name) == {"a", "b"}
    largest = np.abs(weights).max(axis=1, keepdims=True)
    weights8 = np.rint(weights / largest * 127) * largest / 127  # one scale per output channel
    pixels = inputs.reshape(12, 8).astype(np.float64)
    exact = np.maximum(pixels @ weights.T, 0)
    found = rounded(np.maximum(pixels @ weights8.T, 0), 0, exact.max(), 255)
    assert by_name["a"].snr == pytest.approx(signal_to_noise(exact, found), abs=0.2)
    right = ((found @ second.T).argmax(axis=1) == labels).mean()
    assert by_name["a"].accuracy == pytest.approx(right)


def test_signal_to_noise_of_a_known_error():
    exact = np.array([3.0, 4.0])
    assert signal_to_noise(exact, exact + np.array([0.3, 0.4])) == pytest.approx(20)
    assert signal_to_noise(exact, exact) == 200


def test_causes_are_named():
    draws = np.random.default_rng(0)
    values = draws.uniform(0, 1, (8, 16, 24, 24))
    assert find_cause(values, 1 / 255, 0, UINT8).kind == "none"
    outlier = values.copy()
    outlier[:, 5] *= 40
    cause = find_cause(outlier, 40 / 255, 0, UINT8)
    assert cause.kind == "channel"
    assert "outlier channel 5" in cause.reason
    spread = values.copy()
    spread[0, :, 0, 0] = 7
    assert find_cause(spread, 7 / 255, 0, UINT8).kind == "range"
    assert find_cause(values + 9, 10 / 255, 0, UINT8).kind == "zero point"
    assert find_cause(np.zeros((2, 8, 1, 1)), 1e-8, 0, UINT8).kind != "channel"


def test_entropy_clips_a_few_outliers_and_keeps_an_even_range():
    draws = np.random.default_rng(0)
    even = draws.uniform(-1, 1, 100_000)
    assert entropy_limit(even) > 0.95
    normal = np.concatenate([draws.normal(size=100_000), [60.0, -60.0]])
    assert 2.5 < entropy_limit(normal) < 20
    assert entropy_limit(np.zeros(5)) == 0


def test_explain_lists_the_layers_of_a_run(run, tmp_path):
    (done,) = export(run, folder=tmp_path, int8=True, explain=True, max_drop=100)
    assert done.layers
    losses = [effect.divergence for effect in done.layers]
    assert losses == sorted(losses, reverse=True)
    lines = (tmp_path / f"{done.path.name}.layers.csv").read_text().splitlines()
    assert len(lines) == len(done.layers) + 1
    with pytest.raises(RecipeError, match="add --int8"):
        export(run, folder=tmp_path, explain=True)
