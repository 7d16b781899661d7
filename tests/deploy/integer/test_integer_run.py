"""Planned networks have the integers of LiteRT for Microcontrollers, or are refused."""

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tests.deploy.integer.int8_files import CASES, RELU, Int8File
from tests.deploy.integer.make_tflm_outputs import REAL
from tests.deploy.integer.tflm_reference import tflm_case
from tinyrefinery.deploy.integer.integer_lowering import plan_network
from tinyrefinery.deploy.integer.integer_run import real_outputs, run_plan
from tinyrefinery.deploy.integer.layers import Frame
from tinyrefinery.deploy.integer.memory_plan import plan_memory
from tinyrefinery.device.arena import arena_of
from tinyrefinery.device.litert_graph import read_graph
from tinyrefinery.errors import CheckpointError, DataError


@pytest.mark.parametrize("name", [*CASES, *REAL])
def test_every_bit_is_that_of_litert_for_microcontrollers(name, tmp_path):
    path, images, expected = tflm_case(name, tmp_path)
    found = run_plan(plan_network(path), images)
    assert (found.dtype, len(np.unique(expected)) > 5) == (expected.dtype, True)
    assert np.array_equal(found, expected)


def write(file: Int8File, start: int, end: int, folder) -> str:
    path = folder / "net.tflite"
    path.write_bytes(file.content(start, end))
    return path


def test_operators_that_c_lacks_are_all_named(tmp_path):
    file = Int8File(0)
    start = file.image(4, 4, 2)
    image = file.unary("ABS", file.conv(start, 2))
    path = write(file, start, file.unary("EXP", image), tmp_path)
    with pytest.raises(DataError, match=r"net\.tflite: .* ABS, EXP\..*--for mcu"):
        plan_network(path)


def test_what_only_computes_shapes_is_not_needed(tmp_path):
    file = Int8File(1)
    start = file.image(4, 4, 2)
    image = file.conv(start, 2)
    shape = file.tensor((4,), "int32", None)
    file.operator("SHAPE", [image], [shape])
    flat = file.tensor((1, 32), scale=file.graph.tensors[image].quantization.scale[0], zero=0)
    file.operator("RESHAPE", [image, shape], [flat], newShape=[])
    assert len(plan_network(write(file, start, file.dense(flat, 3), tmp_path)).layers) == 2


def test_bytes_are_not_moved_to_another_scale(tmp_path):
    file = Int8File(5)
    start = file.image(4, 4, 2, scale=0.05, zero=0)
    target = file.tensor((1, 4, 4, 4), scale=0.06, zero=0)
    fields = {"axis": 3, "fusedActivationFunction": 0}
    both = file.operator("CONCATENATION", [start, start], [target], **fields)
    with pytest.raises(DataError, match=r"CONCATENATION .* have other scales"):
        plan_network(write(file, start, both, tmp_path))


@pytest.mark.parametrize("change", ["batch", "zero", "float", "large"])
def test_a_file_of_another_kind_is_refused(change, tmp_path):
    file = Int8File(2)
    start = file.image(4, 4, 2)
    image = file.conv(start, 2)
    weights, bias = file.graph.tensors[1], file.graph.tensors[2]
    match change:
        case "batch":
            file.graph.tensors[start].shape = [2, 4, 4, 2]
            reason = "a batch of 1"
        case "zero":
            weights.quantization.zeroPoint = np.array([1, 1])
            reason = "a zero point that is not 0"
        case "float":
            image = file.operator("DEQUANTIZE", [image], [file.tensor((1, 4, 4, 2), "float32")])
            image = file.operator("RELU", [image], [file.tensor((1, 4, 4, 2), "float32")])
            reason = "RELU computes in float32"
        case _:
            file.model.buffers[bias.buffer].data = np.full(2, 2**31 - 1, np.int32).view(np.uint8)
            reason = "may exceed 32 bits"
    with pytest.raises(DataError, match=reason):
        plan_network(write(file, start, image, tmp_path))


def test_a_missing_and_a_damaged_file(tmp_path):
    with pytest.raises(CheckpointError, match="can't be read"):
        plan_network(tmp_path / "none.tflite")
    path, _, _ = tflm_case("mean", tmp_path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(CheckpointError, match="damaged"):
        plan_network(path)


def test_padding_before_a_convolution_takes_no_memory(tmp_path):
    plan = plan_network(tflm_case("frames", tmp_path)[0])
    # Of three paddings, one is read by a pool.
    assert [isinstance(layer, Frame) for layer in plan.layers].count(True) == 1


def test_float_outputs_are_those_of_the_formula(tmp_path):
    file = Int8File(3)
    start = file.image(1, 1, 6, scale=0.3, zero=-11)
    logits = file.dense(start, 5)
    real = file.operator("DEQUANTIZE", [logits], [file.tensor((1, 5), "float32")])
    images = np.random.default_rng(0).integers(-128, 128, (9, 1, 1, 6)).astype(np.int8)
    values = run_plan(plan_network(write(file, start, real, tmp_path)), images)
    whole = plan_network(write(file, start, logits, tmp_path))
    assert np.array_equal(values, real_outputs(whole, run_plan(whole, images)))
    end = file.operator("SOFTMAX", [real], [file.tensor((1, 5), "float32")], beta=0.7)
    found = run_plan(plan_network(write(file, start, end, tmp_path)), images)
    powers = np.exp(0.7 * values.astype(np.float64))
    assert np.abs(found - powers / powers.sum(axis=1, keepdims=True)).max() < 1e-6
    assert len(np.unique(found)) > 20


@pytest.mark.parametrize("name", [*CASES, *REAL])
def test_activations_that_live_together_do_not_overlap(name, tmp_path):
    path = tflm_case(name, tmp_path)[0]
    plan = plan_network(path)
    memory = plan_memory(plan)
    last = {
        n: step for step, layer in enumerate(plan.layers) for n in (*layer.inputs, layer.output)
    }
    written: dict[int, int] = {}
    for step, layer in enumerate(plan.layers):
        # Every input still lies where it was written: nothing later took one of its bytes.
        for number in layer.inputs:
            if number in memory.starts:
                assert all(written[byte] == number for byte in _bytes(plan, memory, number))
        if layer.output in memory.starts:
            alive = {n for n in written.values() if last[n] > step and n != layer.output}
            taken = set(_bytes(plan, memory, layer.output))
            assert not any(taken & set(_bytes(plan, memory, number)) for number in alive)
            written |= dict.fromkeys(taken, layer.output)
    assert memory.bytes <= arena_of(read_graph(path)).total


def _bytes(plan, memory, number):
    return range(memory.starts[number], memory.starts[number] + plan.bytes[number])


def test_a_sum_is_written_over_an_input(tmp_path):
    file = Int8File(4)
    start = file.image(8, 8, 4)
    image = file.conv(start, 4, activation=RELU)
    both = file.pair("ADD", image, file.conv(image, 4, side=(1, 1)))
    end = file.conv(both, 4, side=(1, 1))
    memory = plan_memory(plan_network(write(file, start, end, tmp_path)))
    assert len(memory.starts) == 3
    assert len(set(memory.starts.values())) == 2
    assert (
        memory.bytes == 2 * 8 * 8 * 4
    )  # the windows of the first layer fit into the second's place
