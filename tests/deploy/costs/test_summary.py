"""Summaries against counts by hand, PyTorch's own counter, and what LiteRT measures."""

import json

import numpy as np
import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from tests.networks.runs import write_photos, write_run
from tests.real import real_data
from tinyrefinery.cli.main import app
from tinyrefinery.deploy.costs.layer_costs import layer_costs
from tinyrefinery.deploy.costs.peak_memory import Lifetime, most_at_once, peak_memory
from tinyrefinery.deploy.costs.summarizing import summarize
from tinyrefinery.errors import CheckpointError, RefineryError
from tinyrefinery.models import create
from tinyrefinery.models.network_file import save_network


def test_a_binary_network_by_hand():
    found = summarize("bireal_small", size=32)
    bits = 9 * 3 * (64**2 + 128**2 + 256**2)  # three 3x3 convolutions in each of three stages
    filters, channels = 3 * (64 + 128 + 256), 32 + 4 * (64 + 128 + 256)  # scales, normalized
    assert found.parameters == 2_373_866
    assert found.bytes == bits // 8 + 4 * (filters + found.parameters - bits + 2 * channels)
    assert found.binary_macs == 9 * 3 * (64**2 * 16**2 + 128**2 * 8**2 + 256**2 * 4**2)
    stem = 27 * 32 * 32**2
    between = 32 * 64 * 16**2 + 64 * 128 * 8**2 + 128 * 256 * 4**2
    assert found.macs == stem + between + 2560
    # Input, output and sum of a shortcut in the first stage; more than behind the stem.
    assert found.peak == 4 * 3 * 64 * 16**2 > 4 * (32 * 32**2 + 32 * 16**2)
    layer = next(each for each in found.layers if each.name == "stages.0.1.conv")
    assert (layer.kind, layer.output) == ("BinaryConv2d 3x3", (64, 16, 16))
    assert layer.bytes == 64 * 64 * 9 // 8 + 4 * 64
    assert layer.macs == 0


def test_float_inputs_make_float_products():
    network = create("bireal_small", 10, size=32, activations="float", weights="ternary")
    layer = next(each for each in layer_costs(network, 3, (32, 32)) if "Binary" in each.kind)
    assert layer.kind == "BinaryConv2d 3x3 ternary/float"
    assert layer.bytes == 64 * 64 * 9 // 4 + 4 * 64
    assert (layer.macs, layer.binary_macs) == (64 * 64 * 9 * 16**2, 0)


def test_a_lookup_layer_counts_what_is_not_zero():
    network = create("resnet8_lcnn", 10, size=32, words=8)
    layer = network.blocks[0].first.conv
    with torch.no_grad():
        layer.coefficients.zero_()
        layer.coefficients[:5, 0, 0, 0] = 1
    found = {each.name: each for each in layer_costs(network, 3, (32, 32))}
    line = found["blocks.0.first.conv"]
    assert line.macs == (8 * 16 + 5) * 32 * 32
    assert line.bytes == 4 * (8 * 16 + 5 + 17) + 5 * 2  # a byte for a word, one for a place
    assert line.parameters == 8 * 16 + 16 * 8 * 9


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v1_025", "timm:mobilenetv3_small_050"])
def test_products_are_those_of_pytorchs_counter(name):
    network = create(name, 10, size=64).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    found = layer_costs(network, 3, (64, 64))
    assert sum(line.macs for line in found) == counter.get_total_flops() // 2
    assert sum(line.parameters for line in found) == sum(p.numel() for p in network.parameters())
    statistics = [b for b in network.buffers() if b.is_floating_point()]
    numbers = [*network.parameters(), *statistics]
    assert sum(line.bytes for line in found) == 4 * sum(n.numel() for n in numbers)


def test_peak_memory_of_resnet8_is_what_litert_for_microcontrollers_takes():
    """MLPerf Tiny's int8 file: a head of 49,152 bytes, a byte per number; here they have four."""
    with torch.device("meta"):
        assert peak_memory(create("resnet8", 10, size=32), 3, (32, 32)) == 4 * 49_152


def test_most_at_once():
    assert most_at_once([Lifetime(4, 0, 1), Lifetime(8, 1, 2), Lifetime(16, 2, 3)]) == 24
    assert most_at_once([]) == 0


def test_a_timm_network_with_tokens_has_all_its_parameters():
    with torch.device("meta"):
        network = create("timm:vit_tiny_patch16_224", 10, size=224)
        theirs = timm.create_model("vit_tiny_patch16_224", num_classes=10)
    found = layer_costs(network, 3, (224, 224))
    assert sum(line.parameters for line in found) == sum(p.numel() for p in theirs.parameters())
    assert peak_memory(network, 3, (224, 224)) > 4 * 197 * 192


def test_a_timm_network_needs_no_weights(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    theirs = timm.create_model("mobilenetv3_small_050", num_classes=7)
    found = summarize("timm:mobilenetv3_small_050", size=64, classes=7)
    assert found.parameters == sum(p.numel() for p in theirs.parameters())


def test_a_litert_file():
    pytest.importorskip("ai_edge_litert")
    path = real_data("tflite") / "mlperf_tiny_pretrainedResnet_quant.tflite"
    found = summarize(str(path))
    # 77,706 weights and biases with normalization folded, and two shapes of four numbers or fewer.
    assert 0 <= found.parameters - 77_706 <= 8
    assert found.macs == 12_501_632
    assert found.peak >= 49_152
    assert (found.channels, found.size, found.file) == (3, (32, 32), 98_496)


def write_onnx(path, batch="batch", size=8):
    """Convolution, ReLU and a quantized linear layer."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "q": rng.integers(-9, 9, (4 * size * size, 5)).astype(np.int8),
        "s": np.float32(0.1),
        "shape": np.array([-1, 4 * size * size]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Reshape", ["r", "shape"], ["f"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
        helper.make_node("MatMul", ["f", "d"], ["y"], name="last"),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, size, size])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 5])
    initializers = [numpy_helper.from_array(each, name) for name, each in constants.items()]
    graph = helper.make_graph(nodes, "net", [image], [out], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)


def test_an_onnx_file_by_hand(tmp_path):
    pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    write_onnx(path)
    found = summarize(str(path))
    lines = {line.name: line for line in found.layers}
    assert lines["first"].macs == 4 * 27 * 64
    assert lines["last"].macs == 4 * 64 * 5
    assert (lines["first"].bytes, lines["last"].bytes) == (4 * 108, 256 * 5 + 4)
    assert lines["last"].parameters == 256 * 5 + 1  # with the scale
    assert found.peak == 4 * (3 * 64 + 4 * 64)
    assert (found.channels, found.size, found.form) == (3, (8, 8), "onnx")


def test_a_run_is_opened_by_the_rule_of_all_commands(tmp_path):
    write_run(tmp_path / "run", write_photos(tmp_path / "photos", n=24))
    done = CliRunner().invoke(
        app, ["summary", str(tmp_path / "run"), "--stage", "plain", "--json", f"{tmp_path}/s.json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "s.json").read_text())
    assert (found["channels"], found["size"]) == (1, [16, 16])
    assert sum(layer["parameters"] for layer in found["layers"]) == found["parameters"]
    assert f"Parameters: {found['parameters']:,}" in done.output


@pytest.mark.parametrize("name", ["bireal_small", "resnet8"])
def test_it_fits_a_narrow_terminal(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, ["summary", name, "--size", "32"])
    assert done.exit_code == 0, done.output
    table = done.output.split(f"{name}:")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert len(table) > 15
    assert ("binary" in done.output) == (name == "bireal_small")


def test_what_does_not_fit_together(tmp_path):
    network = create("resnet8", 2, size=16)
    path = tmp_path / "net.safetensors"
    facts = {"size": (16, 16), "channels": 3, "mean": [0.5] * 3, "std": [0.2] * 3}
    save_network(path, network, name="resnet8", kwargs={}, classes=("a", "b"), **facts)
    assert summarize(str(path)).file == path.stat().st_size
    with pytest.raises(RefineryError, match="leave out --size and --classes"):
        summarize(str(path), size=32)
    with pytest.raises(RefineryError, match="is an architecture: leave out --stage"):
        summarize("resnet8", stage="plain")
    with pytest.raises(RefineryError, match="no model is named 'resnet9'"):
        summarize("resnet9")
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(CheckpointError, match=r"net\.onnx: is damaged"):
        summarize(f"{tmp_path}/net.onnx")
