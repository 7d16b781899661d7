"""Latency of a LiteRT or ONNX file on this machine."""

from functools import partial

import numpy as np

from tinyrefinery.device.timing import BURST, Pass, summary, time_interleaved
from tinyrefinery.models.runtime_network import RuntimeNetwork

SIDE = 224
"""Pixels of a side, for files that take images of any size."""
PASSES = 50


def noise_for(network: RuntimeNetwork) -> np.ndarray:
    """Noise that a file takes: as many images as it takes at once, at least one."""
    image = network.input
    size = image.size or (SIDE, SIDE)
    draws, shape = np.random.default_rng(0), (image.batch or 1, *size, image.channels)
    inputs = draws.integers(0, 256, shape).astype(image.dtype)
    if not image.channels_last:
        inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))  # (1, C, h, w)
    return inputs


def pass_on_noise(network: RuntimeNetwork) -> Pass:
    """A function that runs a file once, on noise, in its own runtime."""
    return partial(network.infer, noise_for(network))


def host_latency(network: RuntimeNetwork, passes: int = PASSES) -> dict[str, float | int]:
    """Milliseconds of a pass, as `timing.summary` lists them.

    Args:
        network: opened with one thread.
        passes: timed passes, rounded up to whole turns.
    """
    return summary(time_interleaved([pass_on_noise(network)], -(-passes // BURST))[0])
