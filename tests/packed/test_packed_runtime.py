"""All ways to run packed networks give the same bits, and those of the layers they come from."""

import threading

import numpy as np
import pytest
import torch

from tests.packed.random_programs import random_program
from tinyrefinery.deploy.packing.packed_lowering import pack_network
from tinyrefinery.layers.binary import BinaryConv2d, BinaryLinear
from tinyrefinery.packed import packed_runtime
from tinyrefinery.packed.packed_format import write_packed
from tinyrefinery.packed.packed_runtime import NUMPY, PackedRuntime, variants
from tinyrefinery.packed.program import Op


def _differing_bits(one: np.ndarray, other: np.ndarray) -> int:
    """Also of signs of zero and of NaNs."""
    return int(np.bitwise_count(one.view(np.uint32) ^ other.view(np.uint32)).sum())


def test_every_variant_gives_the_bits_of_numpy(native):
    seen, differing = set(), dict.fromkeys(variants(), 0)
    for seed in range(150):
        program, images = random_program(seed)
        seen |= {step.op for step in program.steps}
        content = write_packed(program)
        expected = PackedRuntime(content, NUMPY).run(images)
        for variant in differing:
            found = PackedRuntime(content, variant).run(images)
            differing[variant] += _differing_bits(found, expected)
    assert seen == set(Op)
    assert len(differing) >= 2  # plain C at least, beside NumPy
    assert differing == dict.fromkeys(differing, 0)


CASES = [  # channels, filters, kernel, stride, padding
    (64, 64, 3, 1, 1),
    (256, 256, 3, 1, 1),
    (70, 40, 3, 2, 1),
    (3, 5, 5, 1, 2),
    (130, 33, 1, 1, 0),
    (1, 8, 2, 2, 3),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_binary_convolution_computes_what_the_layer_computes(native, case):
    channels, filters, kernel, stride, padding = case
    torch.manual_seed(sum(case))
    layer = BinaryConv2d(
        channels, filters, kernel=kernel, stride=stride, padding=padding, bias=True
    ).eval()
    images = torch.randn(2, channels, 7, 6)
    images[images.abs() < 0.1] = 0  # sign(0) is 1
    content = write_packed(pack_network(torch.nn.Sequential(layer), (7, 6), channels))
    with torch.inference_mode():
        expected = layer(images).permute(0, 2, 3, 1).flatten(1).numpy()
    pixels = images.permute(0, 2, 3, 1).numpy()
    for variant in variants():
        found = PackedRuntime(content, variant).run(pixels)
        assert _differing_bits(found, np.ascontiguousarray(expected)) == 0, variant


def test_a_binary_linear_layer_reads_images_in_the_order_of_the_network(native):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), BinaryLinear(70 * 6, 9, bias=True)).eval()
    images = torch.randn(3, 70, 2, 3)
    content = write_packed(pack_network(network, (2, 3), 70))
    expected = network(images).detach().numpy()
    for variant in variants():
        found = PackedRuntime(content, variant).run(images.permute(0, 2, 3, 1).numpy())
        assert _differing_bits(found, expected) == 0, variant


def test_threads_share_a_network(native):
    program, _ = random_program(3)
    runtime = PackedRuntime(write_packed(program))
    images = np.random.default_rng(0).standard_normal((40, *runtime.inputs)).astype(np.float32)
    expected, found = runtime.run(images), [None] * 4

    def work(number: int) -> None:
        found[number] = np.concatenate([runtime.run(images[i : i + 1]) for i in range(40)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(_differing_bits(each, expected) == 0 for each in found)


def test_without_the_extension_networks_run_in_numpy(monkeypatch):
    monkeypatch.setattr(packed_runtime, "native", None)
    program, images = random_program(0)
    runtime = PackedRuntime(write_packed(program))
    assert runtime.variant == NUMPY
    assert runtime.run(images).shape == (2, runtime.outputs)


def test_wrong_images_and_variants_are_refused(native):
    program, images = random_program(0)
    content = write_packed(program)
    runtime = PackedRuntime(content)
    with pytest.raises(ValueError, match="expected images of"):
        runtime.run(images[:, 1:])
    with pytest.raises(ValueError, match="no variant 'sse'"):
        PackedRuntime(content, "sse")
    with pytest.raises(ValueError, match="buffers do not fit"):
        native.run(runtime._model, 0, 1, images, np.empty(1, np.float32), runtime._arena())


def test_a_batch_of_no_images(native):
    program, images = random_program(0)
    assert PackedRuntime(write_packed(program)).run(images[:0]).shape[0] == 0
