"""Places of buffers: never two at once in one place, and as close together as a chain allows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tinyrefinery.device.arena import Buffer, aligned, buffers_of, peak
from tinyrefinery.device.file_form import FileForm, forms_of, is_one_scale
from tinyrefinery.device.foretell import foretell_cost, foretell_within
from tinyrefinery.device.graph_writer import GraphWriter
from tinyrefinery.device.layout import lay_out, with_places
from tinyrefinery.device.padding import is_same_if_wider
from tinyrefinery.options.budget import Budget

HALVES = ((0.5,) * 3, (0.25,) * 3)


def at(buffers, starts):
    return [replace(each, start=start) for each, start in zip(buffers, starts, strict=True)]


def overlap(one, other):
    in_time = one.first <= other.last and other.first <= one.last
    ends = one.start + aligned(one.bytes), other.start + aligned(other.bytes)
    return in_time and one.start < ends[1] and other.start < ends[0]


def test_a_chain_needs_its_largest_pair_alone():
    # Each is needed with its neighbors. The greedy planner puts 576 at 0 and 288 above it. Then
    # neither the gap above 432 at 0 nor that of 576 holds the other 288: it lies above all.
    sizes = [432, 288, 288, 576]
    chain = [Buffer(size, step, step + 1) for step, size in enumerate(sizes)]
    assert peak(chain) == 576 + 288 + 288
    assert peak(at(chain, lay_out(chain))) == 576 + 288


def test_no_two_buffers_share_a_place_and_no_plan_is_worse_than_the_greedy_one():
    draws = np.random.default_rng(0)
    for _ in range(60):
        count = int(draws.integers(1, 14))
        buffers = [
            Buffer(int(size), int(start), int(start + length))
            for size, start, length in zip(
                draws.integers(1, 500, count),
                draws.integers(0, 12, count),
                draws.integers(0, 6, count),
                strict=True,
            )
        ]
        placed = at(buffers, lay_out(buffers))
        assert not any(
            overlap(placed[i], placed[j]) for i in range(count) for j in range(i + 1, count)
        )
        assert peak(placed) <= peak(buffers)


def test_the_int8_image_lies_in_the_place_of_the_pixels():
    writer = GraphWriter()
    pixels = writer.tensor((1, 16, 16, 3))
    image = writer.operator("QUANTIZE", [pixels], (1, 16, 16, 3))
    small = writer.operator("CONV_2D", [image], (1, 8, 8, 4))
    graph = writer.graph([pixels], [small])
    assert peak(buffers_of(graph)) == 2 * 768
    placed = with_places(graph)
    assert placed.places[pixels] == placed.places[image]
    assert peak(buffers_of(placed)) == 768 + 256
    # Not where something else reads the pixels.
    both = writer.operator("ADD", [image, pixels], (1, 16, 16, 3))
    other = with_places(writer.graph([pixels], [small, both]))
    assert not other.places or other.places[pixels] != other.places[image]


@pytest.mark.parametrize("side", [7, 8, 9, 12])
@pytest.mark.parametrize("kernel", [2, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_wider_kernel_with_zeros_pads_inside_of_the_convolution(side, kernel, stride):
    """By LiteRT's own scheme, computed here as its specification has it."""
    pad = kernel // 2
    sides = ((side, side), (kernel, kernel), (stride, stride), (pad, pad), (1, 1))
    image, weights = torch.randn(1, 1, side, side), torch.randn(1, 1, kernel, kernel)
    expected = nn.functional.conv2d(image, weights, stride=stride, padding=pad)
    total = max((-(-side // stride) - 1) * stride + kernel + 1 - side, 0)
    before, after = total // 2, total - total // 2
    framed = nn.functional.pad(image, (before, after, before, after))
    wide = nn.functional.pad(weights, (0, 1, 0, 1))
    found = nn.functional.conv2d(framed, wide, stride=stride)
    same = found.shape == expected.shape and torch.allclose(found, expected, atol=1e-5)
    if is_same_if_wider(*sides):
        assert same
    elif kernel % 2 and stride == 2 and side % 2 == 0:
        pytest.fail("the usual halving of an even side was not recognized")


def test_one_scale_stands_for_equal_channels_only():
    assert is_one_scale((0.5,) * 3, (0.2,) * 3)
    assert is_one_scale((0.4,), (0.2,))
    assert not is_one_scale((0.485, 0.456, 0.406), (0.2,) * 3)
    assert not is_one_scale((0.5,) * 3, (0.2, 0.2, 0.3))
    assert not is_one_scale((-0.1,), (0.2,))


def test_forms_of_a_budget():
    assert forms_of(Budget(), *HALVES) == (FileForm(scaled=True),)
    usual, wide = forms_of(Budget(ram=9), *HALVES)
    assert (usual.wide, wide.wide) == (False, True)
    # Vela would keep places of tensors that it changes.
    (form,) = forms_of(Budget(cycles="300k@ethos-u55-128"), *HALVES)
    assert not form.placed


def test_wider_kernels_are_foretold_only_where_the_memory_needs_them():
    layers = nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 24 * 24, 2)
    network = nn.Sequential(*layers)
    usual = foretell_cost(network, (48, 48), 3, form=FileForm(scaled=True))
    wide = foretell_cost(network, (48, 48), 3, form=FileForm(scaled=True, wide=True))
    # The image and its padded copy, against the image and the output.
    assert usual.arena.head == aligned(48 * 48 * 3) + aligned(50 * 50 * 3)
    assert wide.arena.head == 48 * 48 * 3 + 24 * 24 * 4
    assert wide.macs - usual.macs == 24 * 24 * 4 * 3 * (16 - 9)
    within = [
        foretell_within(Budget(ram=ram), network, (48, 48), 3, (), HALVES)
        for ram in (usual.ram, usual.ram - 1, wide.ram - 1)
    ]
    assert within == [usual, wide, usual]
