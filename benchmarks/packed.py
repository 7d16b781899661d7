"""Packed binary and lookup networks against float and int8, one thread on one core, in one run.

    python benchmarks/packed.py OUT.csv

A binary 3x3 convolution of 256 channels, 14x14 pixels, against the same in float (PyTorch with
oneDNN, and ONNX Runtime) and in int8 (ONNX Runtime). A lookup convolution of the same size with 64
words, 3 of them at each place of each filter, against a dense one in float. Then `bireal_small`
against the same network in float in ONNX Runtime. All take one image per pass and take turns. A
round is 15 passes of each, and its figure their median. The ratio is the median over rounds. The
packed figures include what Python does to hand over the image, and the packing of the signs.
"""

import csv
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.onnx_graph import export_graph
from tinyrefinery.deploy.packing.packed_gain import float_twin
from tinyrefinery.deploy.packing.packed_lowering import pack_network
from tinyrefinery.layers.binary import BinaryConv2d
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.models import create
from tinyrefinery.packed.packed_format import write_packed
from tinyrefinery.packed.packed_runtime import PackedRuntime, variants

ROUNDS, PASSES, WARM = 25, 15, 3
CHANNELS, SIDE, SIZE = 256, 14, 32
WORDS, SPARSITY = 64, 3
"""Of the lookup convolution: vectors in its dictionary, and how many of them a place adds."""
COLUMNS = ("what", "way", "rounds", "median_us", "min_us", "max_us", "times_packed", "bytes")
COLUMNS += ("machine", "torch", "onnxruntime", "load")

Ways = dict[str, tuple[Callable[[], object], int]]
"""What runs a pass, and the bytes of its weights or its file, by name."""


def convolution() -> Ways:
    """One layer."""
    layer = BinaryConv2d(CHANNELS, CHANNELS).eval()
    twin, count = float_twin(layer), layer.weight.numel()
    content = write_packed(pack_network(nn.Sequential(layer), (SIDE, SIDE), CHANNELS))
    assert isinstance(twin, nn.Conv2d)
    weights = twin.weight.detach().numpy()
    draws = np.random.default_rng(0)
    images = draws.standard_normal((1, CHANNELS, SIDE, SIDE)).astype(np.float32)
    pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    bits = images.astype(np.int8).view(np.uint8)
    ways: Ways = {
        f"packed {name}": (_packed(content, pixels, name), len(content)) for name in variants()[:-1]
    }
    tensor = torch.from_numpy(images)
    ways["float PyTorch"] = (lambda: twin(tensor), 4 * count)
    ways["float ONNX Runtime"] = (_session(_float_model(weights), images), 4 * count)
    ways["int8 ONNX Runtime"] = (_session(_int8_model(weights), bits), count)
    return ways


def lookups() -> Ways:
    """A lookup convolution, and a dense one."""
    torch.manual_seed(0)
    layer = LookupConv2d(CHANNELS, CHANNELS, words=WORDS).eval()
    with torch.no_grad():  # at each place of each filter, the largest coefficients
        sizes = layer.coefficients.abs()
        layer.coefficients.mul_(sizes >= sizes.topk(SPARSITY, dim=1).values[:, -1:])
    twin = float_twin(layer)
    assert isinstance(twin, nn.Conv2d)
    content = write_packed(pack_network(nn.Sequential(layer), (SIDE, SIDE), CHANNELS))
    draws = np.random.default_rng(0)
    images = draws.standard_normal((1, CHANNELS, SIDE, SIDE)).astype(np.float32)
    pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    ways: Ways = {
        f"packed {name}": (_packed(content, pixels, name), len(content)) for name in variants()[:-1]
    }
    tensor, size = torch.from_numpy(images), 4 * twin.weight.numel()
    ways["float PyTorch"] = (lambda: twin(tensor), size)
    dense = _float_model(twin.weight.detach().numpy())
    ways["float ONNX Runtime"] = (_session(dense, images), size)
    return ways


def network() -> Ways:
    """A whole network."""
    torch.manual_seed(0)
    binary = create("bireal_small", 10, size=SIZE).eval()
    twin = create("bireal_small", 10, size=SIZE, weights="float", activations="float").eval()
    content = write_packed(pack_network(binary, (SIZE, SIZE), 3))
    pixels = np.random.default_rng(0).standard_normal((1, SIZE, SIZE, 3)).astype(np.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "twin.onnx"
        whole = Exportable(twin, (0.0,) * 3, (1.0,) * 3, normalize=False)
        export_graph(whole, (SIZE, SIZE), 3, "twin", path)
        model = path.read_bytes()
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return {
        f"packed {variants()[0]}": (_packed(content, pixels, variants()[0]), len(content)),
        "float PyTorch": (lambda: twin(images), len(model)),
        "float ONNX Runtime": (_session(model, pixels), len(model)),
    }


def _packed(content: bytes, pixels: np.ndarray, variant: str) -> Callable[[], object]:
    runtime = PackedRuntime(content, variant)
    return lambda: runtime.run(pixels)


def _session(model: bytes, images: np.ndarray) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: images}
    return lambda: session.run(None, inputs)


def _model(node: onnx.NodeProto, kind: int, constants: dict[str, np.ndarray]) -> bytes:
    shape = [1, CHANNELS, SIDE, SIDE]
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    arrays = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "layer", ends[:1], ends[1:], arrays)
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def _float_model(weights: np.ndarray) -> bytes:
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)
    return _model(node, TensorProto.FLOAT, {"w": weights})


def _int8_model(weights: np.ndarray) -> bytes:
    """Unsigned activations and signed weights, which its kernels for x86 prefer."""
    scale = np.abs(weights).max((1, 2, 3)) / 127
    levels = np.rint(weights / scale[:, None, None, None]).astype(np.int8)
    constants = {
        **{"xs": np.float32(0.02), "xz": np.uint8(128), "w": levels},
        **{"ws": scale.astype(np.float32), "wz": np.zeros(CHANNELS, np.int8)},
        **{"ys": np.float32(0.05), "yz": np.uint8(128)},
    }
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    node = helper.make_node("QLinearConv", names, ["y"], pads=[1] * 4)
    return _model(node, TensorProto.UINT8, arrays)


def microseconds(run: Callable[[], object]) -> float:
    """Median time of some passes, in CPU time of the thread: others do not count."""
    times = []
    for _ in range(PASSES):
        start = time.thread_time_ns()
        run()
        times.append(time.thread_time_ns() - start)
    return median(times) / 1000


def main(out: Path) -> None:
    """Time everything and add a row for each way."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    rows = []
    with torch.inference_mode():
        for what, ways in (
            ("conv 3x3 256 14x14", convolution()),
            (f"lookup 3x3 256 14x14, k {WORDS}, s {SPARSITY}", lookups()),
            ("bireal_small 32", network()),
        ):
            rounds = [
                [microseconds(run) for run, _ in ways.values()] for _ in range(WARM + ROUNDS)
            ][WARM:]
            for number, (name, (_, size)) in enumerate(ways.items()):
                times = [each[number] for each in rounds]
                ratio = median(each[number] / each[0] for each in rounds)
                figures = [f"{v:.1f}" for v in (median(times), min(times), max(times))]
                rows.append([what, name, ROUNDS, *figures, f"{ratio:.2f}", size])
    here = (_machine(), torch.__version__, onnxruntime.__version__, f"{os.getloadavg()[0]:.1f}")
    is_new = not out.exists()
    with out.open("a", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        if is_new:
            lines.writerow(COLUMNS)
        for row in rows:
            lines.writerow([*row, *here])
            print(*row, *here, sep="  ")


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.M) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
