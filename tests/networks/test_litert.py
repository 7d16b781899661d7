"""LiteRT files answer as LiteRT's interpreter does, and are opened by the one door."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.networks.runs import CLASSES
from tests.real import real_data
from tinyrefinery.data.open import open_data
from tinyrefinery.data_tests.session import run_tests
from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.litert_file import LitertNetwork
from tinyrefinery.networks.facts import Facts
from tinyrefinery.networks.network_data import open_network_data
from tinyrefinery.networks.opening import open_network
from tinyrefinery.networks.recipe_data import changed_source

litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs tinyrefinery[litert]")
FILES = [
    "mlperf_tiny_pretrainedResnet",
    "mlperf_tiny_pretrainedResnet_large_float",
    "mlperf_tiny_pretrainedResnet_large_int8",
    "mlperf_tiny_pretrainedResnet_quant",
    "mlperf_tiny_vww_96_int8",
    "wake_vision_anas_benalla",
    "wake_vision_apighetti",
    "wake_vision_benx13",
    "wake_vision_cezar",
    "wake_vision_k_2_c_3",
    "wake_vision_k_4_c_5",
    "wake_vision_k_8_c_5",
    "wake_vision_mcunet-10fps_vww",
    "wake_vision_mcunet-320kb-1mb_vww",
    "wake_vision_mcunet-5fps_vww",
    "wake_vision_micronets_vww2_50_50_INT8",
    "wake_vision_micronets_vww3_128_128_INT8",
    "wake_vision_micronets_vww4_128_128_INT8",
    "wake_vision_mobilenetv2",
    "wake_vision_mohammad_hallaq",
    "wake_vision_samy",
    "wake_vision_ymac",
]


def stated(path):
    """What a person has to state: classes, and the range of float inputs (here 0 to 255)."""
    outputs = 10 if "Resnet" in path.name else 2
    channels = 1 if "micronets" in path.name else 3
    is_float = path.stem in FILES[:2]
    facts = {"mean": (0.0,) * channels, "std": (1 / 255,) * channels} if is_float else {}
    return Facts(classes=tuple(f"class{i}" for i in range(outputs)), **facts)


def by_hand(path, pixels):
    """The interpreter's answer to one image (h, w, C) uint8, as real numbers."""
    interpreter = litert.Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (entry,), (result, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    shift = 128 if entry["dtype"] == np.int8 else 0
    values = (pixels.astype(np.int16) - shift).astype(entry["dtype"])
    interpreter.set_tensor(entry["index"], values[None])
    interpreter.invoke()
    scale, zero = result["quantization"]
    raw = interpreter.get_tensor(result["index"])[0].astype(np.float64)
    return (raw - zero) * scale if scale else raw


@pytest.mark.parametrize("name", FILES)
def test_real_files_give_what_the_interpreter_gives(name):
    path = real_data("tflite") / f"{name}.tflite"
    network = open_network(path, stated=stated(path))
    info, module = network.info, network.load()
    pixels = np.random.default_rng(0).integers(0, 256, (3, *info.size, info.channels), np.uint8)
    mean, std = (np.array(v) for v in (info.mean, info.std))
    images = torch.from_numpy(((pixels / 255 - mean) / std).transpose(0, 3, 1, 2)).float()
    found = module.run(images.numpy())
    for image, outputs in zip(pixels, found, strict=True):
        expected = by_hand(path, image)
        np.testing.assert_allclose(outputs[-len(expected) :], expected, rtol=1e-5, atol=1e-6)
    assert module(images).shape == (3, len(info.classes))


def test_mlperfs_int8_file_gets_440_of_its_500_images_right():
    """88.0 %: measured before with the interpreter alone."""
    path = real_data("tflite") / "mlperf_tiny_pretrainedResnet_quant.tflite"
    (images,) = Path(real_data("cifar10_exact500")).glob("*.parquet")
    data = open_data("parquet", path=str(images))
    network = open_network(path, stated=Facts(classes=data.manifest.classes))
    changes = ["data.source.name=parquet", f"data.source.path={images}"]
    held = open_network_data([network], changed_source(network, changes))
    pixels = np.stack([held.dataset.images.pixels(row) for row in range(500)])
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    info = network.info
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (info.mean, info.std))
    predicted = network.load()((scaled - mean) / std).argmax(dim=1).numpy()
    assert (predicted == held.manifest.labels).mean() == pytest.approx(0.88)


def small_file(path, classes=CLASSES):
    """A file with a float input (1, 16, 16, 1): the mean of the image, and its negative."""
    flatbuffers = pytest.importorskip("flatbuffers")
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name, shape, buffer, kind=schema.TensorType.FLOAT32):
        one = schema.TensorT()
        one.name, one.shape, one.buffer, one.type = name, shape, buffer, kind
        return one

    def operator(code, inputs, outputs, options=None, of=0):
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = code, inputs, outputs
        one.builtinOptions, one.builtinOptionsType = options, of
        return one

    def code(builtin):
        one = schema.OperatorCodeT()
        one.builtinCode = one.deprecatedBuiltinCode = builtin
        one.version = 1
        return one

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version = 3
    buffers = [b"", np.array([1, 2], np.int32).tobytes(), np.float32([[1], [-1]]).tobytes()]
    facts = {"classes": classes, "size": (16, 16), "mean": (0.5,), "std": (0.25,)}
    buffers.append(json.dumps(facts).encode())
    model.buffers = [schema.BufferT() for _ in buffers]
    for one, content in zip(model.buffers, buffers, strict=True):
        one.data = np.frombuffer(content, np.uint8) if content else None
    graph.tensors = [
        tensor("image", [1, 16, 16, 1], 0),
        tensor("axes", [2], 1, schema.TensorType.INT32),
        tensor("mean", [1, 1], 0),
        tensor("weights", [2, 1], 2),
        tensor("out", [1, 2], 0),
    ]
    dense = schema.FullyConnectedOptionsT()
    builtin = schema.BuiltinOperator
    model.operatorCodes = [code(builtin.MEAN), code(builtin.FULLY_CONNECTED)]
    options = schema.BuiltinOptions
    reducer = operator(0, [0, 1], [2], schema.ReducerOptionsT(), options.ReducerOptions)
    graph.operators = [
        reducer,
        operator(1, [2, 3, -1], [4], dense, options.FullyConnectedOptions),
    ]
    graph.inputs, graph.outputs = [0], [4]
    model.subgraphs = [graph]
    held = schema.MetadataT()
    held.name, held.buffer = b"tinyrefinery", 3
    model.metadata = [held]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_data_tests_run_on_a_litert_file(tmp_path, photos):
    path = small_file(tmp_path / "net.tflite")
    network = open_network(path)
    assert (network.kind, network.info.size, network.info.mean) == ("litert", (16, 16), (0.5,))
    tests = tmp_path / "data_tests.yaml"
    tests.write_text(f"data: {photos}\ntests: {{all: {{at_least: 0}}}}")
    session = run_tests(tests, network)
    assert session.results[0].measured.n == 180
    columns = session.rows.columns.column("split").to_numpy(zero_copy_only=False)
    found = session.answers.probabilities[columns == "test"]
    data = open_data("folder", root=str(photos), channels=1)
    from tinyrefinery.data.batches import View
    from tinyrefinery.options.crops import Center

    view = View(data, Center(size=16), 0, (0.5,), (0.25,))
    means = view.render(data.manifest.rows("test"), 0).images.mean(dim=(1, 2, 3)).numpy()
    np.testing.assert_allclose(found[:, 0], 1 / (1 + np.exp(-2 * means)), atol=1e-5)


def test_damaged_files_are_refused_with_one_message(tmp_path):
    path = small_file(tmp_path / "net.tflite")
    content = path.read_bytes()
    path.write_bytes(b"no such file at all")
    with pytest.raises(CheckpointError, match="is not a LiteRT file"):
        open_network(path)
    path.write_bytes(content)
    network = LitertNetwork(path)
    with pytest.raises(CheckpointError, match=r"takes images of shape \(1, 16, 16\)"):
        network.run(np.zeros((1, 1, 8, 8), np.float32))
    small_file(path, classes=["a", "b", "c"])
    with pytest.raises(CheckpointError, match="2 outputs, but 3 classes"):
        open_network(path)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.95])
def test_files_cut_short_are_refused(tmp_path, share):
    path = small_file(tmp_path / "net.tflite")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match="cut short, damaged"):
        open_network(path)
