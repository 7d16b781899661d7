"""Random packed networks that use every step, with random shapes and arrays."""

import numpy as np

from tinyrefinery.deploy.packing.program_builder import ProgramBuilder
from tinyrefinery.packed.program import (
    Op,
    Program,
    Step,
    Value,
    float_weights,
    lookup_arrays,
    packed_weights,
)

FINISHES = ("scale", "shift", "slope", "gain", "offset")


def random_program(seed: int) -> tuple[Program, np.ndarray]:
    """A program and images (2, H, W, C) float32 for it."""
    draws = np.random.default_rng(seed)
    builder = ProgramBuilder()
    height, width = map(int, draws.integers(3, 12, 2))
    channels = int(draws.choice([1, 3, 17, 64, 65, 130]))
    first = current = builder.value(Value(height, width, channels))
    for _ in range(int(draws.integers(2, 6))):
        kind = draws.choice(["binary", "bits", "conv", "lookup", "pool", "finish"])
        current = _MAKERS[kind](builder, current, draws)
    metadata = "" if seed % 2 else '{"seed": 1}'
    images = draws.standard_normal((2, height, width, channels)).astype(np.float32)
    return builder.build(first, current, metadata), images


def _window(builder, current, draws, filters):
    """A random kernel, stride and padding, and the size of the result."""
    image = builder.values[current]
    padding = int(draws.integers(0, 3))
    stride = int(draws.integers(1, 4))
    sides = (image.height, image.width)
    kernel = tuple(int(draws.integers(1, min(side + 2 * padding, 5) + 1)) for side in sides)
    height, width = (
        (side + 2 * padding - k) // stride + 1 for side, k in zip(sides, kernel, strict=True)
    )
    return kernel, stride, padding, Value(height, width, filters)


def _finish(builder, target, draws):
    """A random finish, with every array as likely as not."""
    arrays = {
        name: draws.standard_normal(target.channels).astype(np.float32)
        for name in FINISHES
        if draws.random() < 0.5
    }
    same = [n for n, v in enumerate(builder.values) if not v.is_bits and v.shape == target.shape]
    residual = int(draws.choice(same)) if same and draws.random() < 0.7 else None
    return arrays, residual, bool(draws.random() < 0.5)


def _comparison(channels, draws):
    flips = draws.choice([-1, 1], channels).astype(np.float32)
    return {"flips": flips, "bounds": draws.standard_normal(channels).astype(np.float32)}


def _signs(builder, current, draws, border):
    image = builder.values[current]
    bits = Value(image.height, image.width, image.channels, is_bits=True, border=border)
    value = builder.value(bits)
    arrays = _comparison(image.channels, draws) if draws.random() < 0.7 else {}
    builder.step(Step(Op.SIGN, current, value, arrays=arrays))
    return value


def _binary(builder, current, draws):
    filters = int(draws.choice([1, 7, 32, 40, 64, 100]))
    kernel, stride, padding, target = _window(builder, current, draws, filters)
    source = _signs(builder, current, draws, padding + int(draws.integers(0, 2)))
    return _binary_step(builder, source, draws, (kernel, stride, padding, target))


def _binary_step(builder, source, draws, window):
    kernel, stride, padding, target = window
    channels = builder.values[source].channels
    arrays, residual, relu = _finish(builder, target, draws)
    levels = draws.standard_normal((target.channels, channels, *kernel))
    arrays["weights"] = packed_weights(levels)
    value = builder.value(target)
    options = {"residual": residual, "relu": relu, "arrays": arrays}
    builder.step(Step(Op.BINARY, source, value, kernel, stride, padding, **options))
    return value


def _bits(builder, current, draws):
    """A binary layer whose output is bits for the next one."""
    kernel, stride, padding, target = _window(builder, current, draws, int(draws.choice([5, 70])))
    source = _signs(builder, current, draws, padding)
    border = int(draws.integers(0, 2))
    bits = Value(target.height, target.width, target.channels, is_bits=True, border=border)
    middle = builder.value(bits)
    shape = (target.channels, builder.values[source].channels, *kernel)
    arrays = _comparison(target.channels, draws)
    arrays["weights"] = packed_weights(draws.standard_normal(shape))
    builder.step(Step(Op.BINARY, source, middle, kernel, stride, padding, arrays=arrays))
    last = Value(target.height, target.width, 24)
    padding = border if border else 0
    size = 1 + 2 * padding
    return _binary_step(builder, middle, draws, ((size, size), 1, padding, last))


def _conv(builder, current, draws):
    filters = int(draws.choice([1, 10, 16, 33]))
    kernel, stride, padding, target = _window(builder, current, draws, filters)
    arrays, residual, relu = _finish(builder, target, draws)
    shape = (filters, builder.values[current].channels, *kernel)
    arrays["weights"] = float_weights(draws.standard_normal(shape).astype(np.float32))
    value = builder.value(target)
    options = {"residual": residual, "relu": relu, "arrays": arrays}
    builder.step(Step(Op.CONV, current, value, kernel, stride, padding, **options))
    return value


def _lookup(builder, current, draws):
    """Maps of some words, then entries that read them; some filters have none."""
    image = builder.values[current]
    words = int(draws.choice([1, 5, 40, 256, 257]))
    maps = builder.value(Value(image.height, image.width, words))
    shape = (words, image.channels, 1, 1)
    dictionary = float_weights(draws.standard_normal(shape).astype(np.float32))
    builder.step(Step(Op.CONV, current, maps, arrays={"weights": dictionary}))
    filters = int(draws.choice([1, 10, 32, 45]))
    kernel, stride, padding, target = _window(builder, maps, draws, filters)
    arrays, residual, relu = _finish(builder, target, draws)
    starts = np.cumsum([0, *draws.integers(0, int(draws.choice([1, 2, 30])), filters)])
    count = int(starts[-1])
    entries = draws.integers(0, words, count), draws.integers(0, np.prod(kernel), count)
    arrays |= lookup_arrays(starts, *entries, draws.standard_normal(count), words)
    value = builder.value(target)
    options = {"residual": residual, "relu": relu, "arrays": arrays}
    builder.step(Step(Op.LOOKUP, maps, value, kernel, stride, padding, **options))
    return value


def _pool(builder, current, draws):
    image = builder.values[current]
    kernel, stride, padding, target = _window(builder, current, draws, image.channels)
    is_max = draws.random() < 0.5
    if not is_max or padding >= min(kernel):
        padding, kernel = 0, tuple(map(min, kernel, (image.height, image.width)))
        sides = zip((image.height, image.width), kernel, strict=True)
        target = Value(*((side - k) // stride + 1 for side, k in sides), image.channels)
    value = builder.value(target)
    op = Op.MAX if is_max else Op.AVERAGE
    builder.step(Step(op, current, value, kernel, stride, padding))
    return value


def _alone(builder, current, draws):
    target = builder.values[current]
    arrays, residual, relu = _finish(builder, target, draws)
    value = builder.value(target)
    builder.step(Step(Op.FINISH, current, value, residual=residual, relu=relu, arrays=arrays))
    return value


_MAKERS = {
    **{"binary": _binary, "bits": _bits, "conv": _conv, "lookup": _lookup},
    **{"pool": _pool, "finish": _alone},
}
