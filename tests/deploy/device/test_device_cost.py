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

from tests.deploy.device.litert_files import Writer, random_network
from tinyrefinery.deploy.device.arena import Buffer, arena_of, buffers_of, peak
from tinyrefinery.deploy.device.device_cost import device_cost
from tinyrefinery.deploy.device.litert_graph import read_graph
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
