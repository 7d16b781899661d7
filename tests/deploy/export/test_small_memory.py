"""int8 LiteRT files that need less memory predict the same, in every runtime."""

import os
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tinyrefinery import export
from tinyrefinery.deploy.emulation.replaying import replay
from tinyrefinery.deploy.export import artifact_files
from tinyrefinery.deploy.export.artifact_facts import KeptLayers
from tinyrefinery.deploy.export.artifact_files import Files
from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.litert_conversion import LiteRtFile, convert_to_litert
from tinyrefinery.deploy.export.onnx_graph import export_graph
from tinyrefinery.deploy.export.onnx_rewrites import remove_normalization, widen_kernels
from tinyrefinery.deploy.export.untrained import convert_on_noise
from tinyrefinery.device.arena import buffers_of, peak
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.file_form import FileForm
from tinyrefinery.device.litert_graph import read_graph
from tinyrefinery.models.runtime_network import RuntimeNetwork
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import Budget

TREE = os.environ.get("TINYREFINERY_TFLM")
SIDE, GRAY = 16, 128 / 255
PLAIN, SMALL = FileForm(placed=False), FileForm(scaled=True, wide=True)


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1, groups=4), nn.ReLU()
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 4)).eval()


def module(mean=(GRAY,) * 3, std=(0.25,) * 3):
    return Exportable(network(), mean, std, normalize=True)


def graph_of(exportable, path, channels=3):
    export_graph(exportable, (SIDE, SIDE), channels, "net", path)
    return onnx.load(path)


def by_onnx(model, images):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"image": images})[0])


def by_reference(path, images):
    """LiteRT's reference kernels, which round as LiteRT for Microcontrollers does."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    found = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        output = interpreter.get_output_details()[0]["index"]
        found.append(interpreter.get_tensor(output).copy())
    return np.concatenate(found), interpreter.get_input_details()[0]


def test_one_number_and_one_shift_leave_the_graph(tmp_path):
    model = graph_of(module(), tmp_path / "net.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.float32)
    expected = by_onnx(model, pixels)
    factor, shift = remove_normalization(model) or (0, 0)
    assert factor == pytest.approx(1 / (255 * 0.25))
    assert shift == pytest.approx(-GRAY / 0.25)
    np.testing.assert_allclose(
        by_onnx(model, pixels * np.float32(factor) + np.float32(shift)), expected, atol=1e-6
    )
    assert remove_normalization(model) is None


def test_channels_that_differ_keep_their_operator(tmp_path):
    for number, part in enumerate((((0.5, 0.4, 0.5), (0.25,) * 3), ((0.5,) * 3, (0.2, 0.3, 0.2)))):
        model = graph_of(module(*part), tmp_path / f"{number}.onnx")
        before = model.SerializeToString()
        assert remove_normalization(model) is None
        assert model.SerializeToString() == before


def test_wider_kernels_predict_the_same(tmp_path):
    model = graph_of(module(), tmp_path / "net.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.float32)
    expected = by_onnx(model, pixels)
    widen_kernels(model)
    kernels = [
        list(attribute.ints)
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.name == "kernel_shape"
    ]
    assert kernels == [[1, 1], [4, 4], [4, 4]]
    np.testing.assert_allclose(by_onnx(model, pixels), expected, atol=1e-6)


def test_a_file_with_less_memory_predicts_the_same(converter, tmp_path):
    """An operator and a padded copy once took two more maps of the size of the image."""
    files = {}
    for name, form in (("plain", PLAIN), ("scaled", replace(SMALL, wide=False)), ("small", SMALL)):
        files[name] = tmp_path / f"{name}.tflite"
        convert_on_noise(module(), (SIDE, SIDE), 3, "net", (files[name], "{}"), print, form)
    graphs = {name: read_graph(file) for name, file in files.items()}
    kinds = {n: Counter(each.kind for each in graph.operators) for n, graph in graphs.items()}
    assert [kinds[name]["DEPTHWISE_CONV_2D"] for name in files] == [2, 1, 1]
    assert [kinds[name]["PAD"] for name in files] == [2, 2, 0]
    image, half = SIDE * SIDE * 3, 8 * 8 * 4
    assert peak(buffers_of(graphs["plain"])) == 2 * image + 18 * 18 * 3 + 4  # aligned to 16
    assert peak(buffers_of(graphs["small"])) == image + half
    images = np.random.default_rng(1).integers(0, 256, (20, SIDE, SIDE, 3), dtype=np.uint8)
    expected, _ = by_reference(files["plain"], images)
    scaled, stated = by_reference(files["scaled"], images)
    small, _ = by_reference(files["small"], images)
    assert stated["dtype"] is np.uint8
    assert stated["quantization"] == (pytest.approx(1 / (255 * 0.25)), 128)
    np.testing.assert_array_equal(small, scaled)
    np.testing.assert_allclose(scaled, expected, atol=0.02)


def test_a_form_with_wider_kernels_is_taken_where_the_memory_needs_it(converter, tmp_path):
    graph = tmp_path / "graph.onnx"
    export_graph(module(), (SIDE, SIDE), 3, "net", graph)
    noise = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.float32)
    usual = FileForm(scaled=True)
    forms = (usual, replace(usual, wide=True))
    made = {}
    for ram in (100_000, 6_800, 1_000):
        folder = tmp_path / str(ram)
        folder.mkdir()
        files = Files(
            *(graph, folder, noise, lambda method: "{}", True, "net", KeptLayers()),
            *(Budget(ram=ram), forms),
        )
        found = artifact_files.make("litert", files, print)
        made[ram] = device_cost(next(iter(found.values())))
    assert made[6_800].ram < made[100_000].ram
    assert made[6_800].macs > made[100_000].macs
    assert made[1_000] == made[100_000]  # no form is small enough


def test_files_with_layers_in_float_keep_the_operator(converter, tmp_path):
    """Their input may be float, and no scale would normalize it."""
    model = graph_of(module(), tmp_path / "graph.onnx")
    first = next(n for n in model.graph.node if n.op_type == "Conv" and "normal" not in n.input[1])
    path = tmp_path / "net.tflite"
    file = LiteRtFile(
        str(path), "{}", pixels=True, int8=True, method="minmax", floats=(first.name,)
    )
    noise = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.float32)
    convert_to_litert(tmp_path / "graph.onnx", [file], noise, "net", print, SMALL)
    images = noise.astype(np.uint8)
    found, stated = by_reference(path, images)
    assert stated["quantization"] == (1.0, 0)
    with torch.inference_mode():
        expected = module()(torch.from_numpy(noise)).numpy()
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_an_artifact_with_a_scale_takes_pixels(run, converter, tmp_path):
    (done,) = export(run, "litert", folder=tmp_path, int8=True)
    graph = read_graph(done.path)
    assert [each.kind for each in graph.operators][:1] == ["QUANTIZE"]
    artifact = open_network(done.path).load()
    assert isinstance(artifact, RuntimeNetwork)
    assert artifact.input.takes_pixels
    assert artifact.input.scale == pytest.approx(1 / (255 * 0.25))


@pytest.mark.slow
@pytest.mark.skipif(TREE is None, reason="TINYREFINERY_TFLM is not set")
def test_microcontrollers_run_it_in_the_memory_that_is_stated(run, converter, tmp_path):
    (done,) = export(run, "litert", folder=tmp_path, int8=True)
    found = replay(done.path, "host", TREE or "", print)
    assert found.passed
    assert found.arena_used <= device_cost(done.path).ram
