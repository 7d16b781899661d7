"""What packing a network gains on this machine, measured against the same network in float.

The float network has plain convolutions in place of binary and lookup ones, and runs in PyTorch.
Both run in one thread, take turns, and get one image at a time.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import nn

from tinyrefinery.deploy.packing.packed_lowering import UnpackableError, pack_network
from tinyrefinery.layers.binary import Quantized
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.packed.packed_format import write_packed
from tinyrefinery.packed.packed_runtime import NUMPY, PackedRuntime

ROUNDS, WARM = 9, 2
_LEAST = 0.003
"""Seconds that a way runs for in each round."""


@dataclass(frozen=True)
class PackedGain:
    """Speed and bytes of a packed network, or why it has none."""

    faster: float | None = None
    """Times that the packed network is faster than float."""
    smaller: float | None = None
    """Times that its file is smaller than the float network's parameters in 32 bits."""
    reason: str = ""
    """Why it is not packed, or no gain."""

    def __str__(self) -> str:
        """For people."""
        size = "" if self.smaller is None else f"{self.smaller:.1f} times smaller"
        if self.smaller is not None and self.smaller < 1:
            size = f"{1 / self.smaller:.1f} times larger"
        if self.reason:
            return f"no: {self.reason}" + (f". Its file is {size}" if size else "")
        return f"yes; {self.faster:.1f} times faster than float on this host; {size}"


def packed_gain(network: nn.Module, size: tuple[int, int], channels: int) -> PackedGain:
    """Pack a network and time it.

    Args:
        network: in evaluation mode; it is not changed.
        size: height and width of its images in pixels.
        channels: of its images.
    """
    try:
        content = write_packed(pack_network(network, size, channels))
    except UnpackableError as error:
        return PackedGain(reason=str(error))
    twin = float_twin(network)
    smaller = 4 * sum(p.numel() for p in twin.parameters()) / len(content)
    runtime = PackedRuntime(content)
    if runtime.variant == NUMPY:
        reason = "the extension is not installed. Install a C compiler, then this package again"
        return PackedGain(None, smaller, reason)
    faster = _faster(runtime, twin, (1, channels, *size))
    slow = "it is slower than float on this host" + _kept(network) if faster < 1 else ""
    return PackedGain(faster, smaller, slow)


def _kept(network: nn.Module) -> str:
    """How many lookup coefficients there are to compute, for people."""
    layers = [layer for layer in network.modules() if isinstance(layer, LookupConv2d)]
    if not layers:
        return ""
    kept = sum(int(layer.is_kept.sum()) for layer in layers)
    share = kept / sum(layer.coefficients.numel() for layer in layers)
    return f". {share:.0%} of its lookup coefficients are not 0: train it with more sparsity"


def float_twin(network: nn.Module) -> nn.Module:
    """A copy whose binary layers, and others with few values or words, are plain float ones."""
    twin = copy.deepcopy(network).eval()
    if isinstance(twin, Quantized | LookupConv2d):
        return _plain(twin)
    for parent in list(twin.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, Quantized | LookupConv2d):
                setattr(parent, name, _plain(layer))
    return twin


def _plain(layer: Quantized | LookupConv2d) -> nn.Module:
    if isinstance(layer, LookupConv2d):
        width, _, kernel, _ = layer.coefficients.shape
        sides = (kernel, layer.stride, layer.padding)
        return nn.Conv2d(layer.dictionary.shape[1], width, *sides, bias=layer.bias is not None)
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, layer.out_features, bias=bias)
    assert isinstance(layer, nn.Conv2d)
    sides = (layer.kernel_size, layer.stride, layer.padding)
    return nn.Conv2d(layer.in_channels, layer.out_channels, *sides, bias=bias)  # type: ignore[arg-type]


def _faster(runtime: PackedRuntime, twin: nn.Module, shape: tuple[int, ...]) -> float:
    """Median over rounds of the float network's time, in times of the packed one."""
    images = torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            ways = (lambda: twin(images), lambda: runtime.run(pixels))
            rounds = [[_seconds(way) for way in ways] for _ in range(WARM + ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    return median(float_time / packed for float_time, packed in rounds[WARM:])


def _seconds(run: Callable[[], object]) -> float:
    """Median time of a pass."""
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < _LEAST:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return median(times)
