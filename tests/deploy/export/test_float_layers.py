"""Layers that stay in float, or take 16-bit activations, in an int8 artifact."""

import numpy as np
import onnx
import pytest

from tests.deploy.export.test_export import PIXELS, by_hand, by_litert, by_onnx
from tests.deploy.export.test_layer_effects import graph_of_two_layers
from tinyrefinery import export
from tinyrefinery.deploy.export.float_layers import float_nodes, layers_that_lose_most, weight_nodes
from tinyrefinery.deploy.export.layer_causes import Cause
from tinyrefinery.deploy.export.layer_effects import LayerEffect
from tinyrefinery.errors import RecipeError

NO_CAUSE = Cause("none", "", "")


def test_what_reads_a_layer_stays_with_it(tmp_path):
    graph = tmp_path / "g.onnx"
    graph_of_two_layers(graph, np.ones((6, 8), np.float32), np.ones((4, 6), np.float32))
    model = onnx.load(graph)
    assert weight_nodes(model, ["a"]) == ["conv"]
    assert float_nodes(model, ["a"]) == ["conv", "relu", "reshape", "gemm"]
    assert float_nodes(model, ["b"]) == ["gemm", "softmax"]


def test_only_layers_with_weights_are_chosen():
    effects = [
        LayerEffect(name, kind, 0.0, loss, 1.0, None, NO_CAUSE)
        for name, kind, loss in (("s", "Add", 0.9), ("a", "Conv", 0.5), ("b", "Gemm", 0.1))
    ]
    assert layers_that_lose_most(effects, 1) == ("a",)
    assert layers_that_lose_most(effects, 9) == ("a", "b")


# LiteRT still rounds what a reader of the last of these layers gives to the next operator.
@pytest.mark.parametrize(
    ("target", "by", "most"), [("onnx", by_onnx, 1e-4), ("litert", by_litert, 2e-3)]
)
def test_with_all_layers_in_float_it_predicts_what_the_network_does(
    run, tmp_path, target, by, most, request
):
    if target == "litert":
        request.getfixturevalue("converter")
    (int8,) = export(run, target, folder=tmp_path / "int8", int8=True)
    (done,) = export(run, target, folder=tmp_path / "mixed", int8=True, keep_float=99)
    assert len(done.record["float_layers"]) > 2
    exact = by_hand(run)
    of_int8, of_mixed = (np.abs(by(d.path, PIXELS) - exact).max() for d in (int8, done))
    assert of_mixed < most
    assert of_mixed < of_int8 / 2
    assert done.parity.logit < int8.parity.logit


def types_of(path):
    """Types of the tensors of a LiteRT file: activations, and constants of convolutions."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    operators = interpreter._get_ops_details()
    types = {t["index"]: t["dtype"] for t in interpreter.get_tensor_details()}
    layers = [o for o in operators if o["op_name"] in ("CONV_2D", "FULLY_CONNECTED")]
    assert layers
    return [[types[n] for n in (*o["inputs"][:2], o["outputs"][0])] for o in layers]


def test_with_16_bit_activations_it_predicts_nearly_what_the_network_does(run, tmp_path, converter):
    (int8,) = export(run, "litert", folder=tmp_path / "int8", int8=True)
    (done,) = export(run, "litert", folder=tmp_path / "mixed", int8=True, keep_16bit=99)
    assert len(done.record["int16_layers"]) > 2
    assert "float_layers" not in done.record
    exact = by_hand(run)
    # Noise is outside the calibrated ranges, so what is better shows on the pictures of the run.
    assert np.abs(by_litert(done.path, PIXELS) - exact).max() < 0.03
    assert done.parity.logit < 0.8 * int8.parity.logit  # the weights have 8 bits
    assert [np.int8] * 3 in types_of(int8.path)
    assert all(types == [np.int16, np.int8, np.int16] for types in types_of(done.path))


def test_only_litert_computes_with_16_bits(run, tmp_path):
    with pytest.raises(RecipeError, match="--keep-16bit is about int8: add --int8"):
        export(run, "litert", folder=tmp_path, keep_16bit=1)
    with pytest.raises(RecipeError, match="--keep-16bit is for LiteRT only"):
        export(run, ["onnx", "litert"], folder=tmp_path, int8=True, keep_16bit=1)


def test_keeping_layers_in_float_needs_int8(run, tmp_path):
    with pytest.raises(RecipeError, match="add --int8"):
        export(run, folder=tmp_path, keep_float=1)
