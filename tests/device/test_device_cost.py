"""Flash, memory and products of LiteRT files, against what LiteRT for Microcontrollers takes.

`tflm_arena.csv` has the head and the tail of the arena in bytes, as tflite-micro
0.dev20261023182759 (x86-64, reference kernels) prints them by `print_allocations()` for the files
of `random_network`.
"""

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tests.device.litert_files import Writer, random_network
from tinyrefinery.device.arena import Buffer, arena_of, buffers_of, peak
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.litert_graph import read_graph
from tinyrefinery.errors import CheckpointError

FIGURES = Path(__file__).with_name("tflm_arena.csv").read_text().splitlines()
MEASURED = list(csv.DictReader(FIGURES))


def test_the_arena_is_never_larger_than_foretold(tmp_path):
    assert len(MEASURED) == 100
    for line in MEASURED:
        graph = read_graph(random_network(tmp_path / "random.tflite", int(line["seed"])))
        arena = arena_of(graph)
        assert peak(buffers_of(graph)) == int(line["head"]), line
        assert arena.head >= int(line["head"])
        assert int(line["tail"]) <= arena.tail <= 2 * int(line["tail"]) + 2048, line


def test_products_of_a_network_by_hand(tmp_path):
    writer = Writer()
    image = writer.tensor((1, 8, 8, 3))
    halved = writer.conv(image, 16, stride=2)  # 4 * 4 * 16 * 3 * 3 * 3
    deep = writer.depthwise(halved)  # 4 * 4 * 16 * 3 * 3
    total = writer.add(deep, halved)
    file = writer.write(tmp_path / "net.tflite", [image], [total])
    cost = device_cost(file)
    assert cost.macs == 4 * 4 * 16 * 27 + 4 * 4 * 16 * 9
    assert cost.flash == file.stat().st_size
    # The first layer's output is needed until the sum: all three tensors of 256 bytes at once.
    assert peak(buffers_of(read_graph(file))) == 3 * 256


def test_an_output_stays_in_memory_to_the_end(tmp_path):
    writer = Writer()
    image = writer.tensor((1, 8, 8, 1))
    early = writer.conv(image, 4)  # 256 bytes, an output that no layer needs after the next
    last = writer.conv(writer.conv(early, 4), 4)
    file = writer.write(tmp_path / "net.tflite", [image], [early, last])
    assert peak(buffers_of(read_graph(file))) == 3 * 256
    file = writer.write(tmp_path / "net.tflite", [image], [last])
    assert peak(buffers_of(read_graph(file))) == 2 * 256


def test_many_small_tensors_take_the_memory_of_the_plan(tmp_path):
    writer = Writer()
    start = image = writer.tensor((1, 1, 1, 1))
    for _ in range(5):
        image = writer.conv(image, 1)
    graph = read_graph(writer.write(tmp_path / "net.tflite", [start], [image]))
    assert peak(buffers_of(graph)) == 2 * 16
    assert arena_of(graph).head == 6 * 96  # 96 bytes for each of 6 tensors


def test_scratch_memory_of_a_reduction_by_hand(tmp_path):
    writer = Writer()
    image = writer.tensor((1, 8, 8, 4))
    axes = writer.tensor((2,), np.array([1, 2], np.int32))
    mean = writer.operator("MEAN", "ReducerOptions", [image, axes], (1, 1, 1, 4), keepDims=True)
    file = writer.write(tmp_path / "net.tflite", [image], [mean])
    # The image, its 4 means (aligned to 16), 8 bytes for each of 4 sums, and axes twice.
    assert peak(buffers_of(read_graph(file))) == 256 + 16 + 4 * 8 + 2 * 64


def test_memory_is_reused_only_where_nothing_needs_it():
    # Placed by hand: 64 at 0, the other 64 after it as step 2 needs both, 32 again at 0.
    assert peak([Buffer(64, 0, 1), Buffer(64, 1, 2), Buffer(32, 2, 3)]) == 128
    assert peak([Buffer(64, 0, 1), Buffer(64, 2, 3)]) == 64
    assert peak([Buffer(1, 0, 0), Buffer(1, 0, 0)]) == 32  # places are multiples of 16


def test_no_plan_overlaps():
    draws = np.random.default_rng(0)
    for _ in range(50):
        first = draws.integers(0, 20, 12)
        buffers = [
            Buffer(int(size), int(start), int(start + length))
            for size, start, length in zip(
                draws.integers(1, 500, 12), first, draws.integers(0, 6, 12), strict=True
            )
        ]
        needed = [sum(b.bytes for b in buffers if b.first <= step <= b.last) for step in range(26)]
        assert max(needed) <= peak(buffers) <= sum(b.bytes + 15 for b in buffers)


def test_a_damaged_file_is_one_message(tmp_path):
    file = random_network(tmp_path / "net.tflite", 0)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(CheckpointError, match=r"net\.tflite: is damaged"):
        read_graph(file)
