"""The steps of packed networks in NumPy: the same bits as the runtime in C, far slower.

All sums of floats are in the order of the C code, one product at a time.
"""

import numpy as np

from tinyrefinery.packed.program import WORD, Op, Program, Step, Value, packed_bits


def run_program(program: Program, image: np.ndarray) -> np.ndarray:
    """Outputs of a program, flat, for one image (H, W, C) float32."""
    values: dict[int, np.ndarray] = {program.input: np.asarray(image, np.float32)}
    with np.errstate(all="ignore"):  # as in C
        for step in program.steps:
            values[step.output] = _STEPS[step.op](step, program.values, values)
    return values[program.output].ravel()


_Values = dict[int, np.ndarray]


def _sign(step: Step, shapes: tuple[Value, ...], values: _Values) -> np.ndarray:
    ones = np.ones(shapes[step.input].channels, np.float32)
    flips, bounds = step.arrays.get("flips", ones), step.arrays.get("bounds", 0 * ones)
    return _bits(values[step.input] * flips >= bounds, shapes[step.output])


def _bits(is_set: np.ndarray, value: Value) -> np.ndarray:
    """Booleans (H, W, C) as words with the border of a value."""
    bits = np.zeros((*value.shape[:2], value.words * WORD), np.uint8)
    border = value.border
    inner = slice(border, border + value.height), slice(border, border + value.width)
    bits[(*inner, slice(value.channels))] = is_set
    return packed_bits(bits)


def _windows(image: np.ndarray, step: Step, target: Value) -> list[np.ndarray]:
    """The pixels (H', W', C) of an image at each place of a window, places in rows."""
    parts = []
    for row in range(step.kernel[0]):
        for column in range(step.kernel[1]):
            rows = slice(row, row + step.stride * (target.height - 1) + 1, step.stride)
            columns = slice(column, column + step.stride * (target.width - 1) + 1, step.stride)
            parts.append(image[rows, columns])
    return parts


def _binary(step: Step, shapes: tuple[Value, ...], values: _Values) -> np.ndarray:
    source, target = shapes[step.input], shapes[step.output]
    skip, words = source.border - step.padding, source.words
    image = values[step.input]
    image = image[skip : len(image) - skip, skip : image.shape[1] - skip]
    # (groups, places * words, 8) -> (places, words, filters)
    weights = step.arrays["weights"].transpose(1, 0, 2).reshape(-1, words, target_filters(step))
    is_inside = np.zeros(image.shape[:2], bool)
    inner = slice(step.padding, step.padding + source.height)
    is_inside[inner, step.padding : step.padding + source.width] = True
    sums = np.zeros((target.height, target.width, weights.shape[-1]), np.int64)
    places = zip(
        _windows(image, step, target), _windows(is_inside, step, target), weights, strict=True
    )
    for pixels, inside, filters in places:
        for word in range(words):
            differ = np.bitwise_count(pixels[..., word, None] ^ filters[word])
            sums -= 2 * differ.astype(np.int64) * inside[..., None]
        sums += source.channels * inside[..., None]
    return _finish_sum(sums[..., : target.channels].astype(np.float32), step, target, values)


def target_filters(step: Step) -> int:
    """Filters of a binary step, padded to whole groups."""
    groups, _, size = step.arrays["weights"].shape
    return groups * size


def _conv(step: Step, shapes: tuple[Value, ...], values: _Values) -> np.ndarray:
    target, weights = shapes[step.output], step.arrays["weights"]
    around = (step.padding, step.padding)
    image = np.pad(values[step.input], (around, around, (0, 0)))
    sums = np.zeros((target.height, target.width, weights.shape[-1]), np.float32)
    for pixels, filters in zip(_windows(image, step, target), weights, strict=True):
        for channel, row in enumerate(filters):
            sums += pixels[..., channel, None] * row
    return _finish_sum(sums[..., : target.channels], step, target, values)


def _lookup(step: Step, shapes: tuple[Value, ...], values: _Values) -> np.ndarray:
    target, arrays = shapes[step.output], step.arrays
    around = (step.padding, step.padding)
    image = np.pad(values[step.input], (around, around, (0, 0)))
    # (places, words, H', W')
    windows = np.stack(_windows(image, step, target)).transpose(0, 3, 1, 2)
    sums = np.zeros((target.channels, target.height, target.width), np.float32)
    starts = arrays["starts"].astype(np.int64)
    counts = np.diff(starts)
    for number in range(int(counts.max())):  # the next entry of each filter that has one
        filters = np.flatnonzero(counts > number)
        entries = starts[filters] + number
        maps = windows[arrays["places"][entries], arrays["words"][entries]]
        sums[filters] += maps * arrays["weights"][entries][:, None, None]
    return _finish_sum(sums.transpose(1, 2, 0), step, target, values)


def _pool(step: Step, shapes: tuple[Value, ...], values: _Values) -> np.ndarray:
    target, is_max = shapes[step.output], step.op == Op.MAX
    around = (step.padding, step.padding)
    image = np.pad(
        values[step.input], (around, around, (0, 0)), constant_values=-np.inf if is_max else 0
    )
    first, *others = _windows(image, step, target)
    found = first.copy()
    for pixels in others:
        found = np.where(pixels > found, pixels, found) if is_max else found + pixels
    return found if is_max else found / np.float32(step.kernel[0] * step.kernel[1])


def _finish(step: Step, shapes: tuple[Value, ...], values: _Values) -> np.ndarray:
    return _finish_sum(values[step.input], step, shapes[step.output], values)


def _finish_sum(sums: np.ndarray, step: Step, target: Value, values: _Values) -> np.ndarray:
    arrays = step.arrays
    if target.is_bits:
        return _bits(sums * arrays["flips"] >= arrays["bounds"], target)
    if "scale" in arrays:
        sums = sums * arrays["scale"]
    if "shift" in arrays:
        sums = sums + arrays["shift"]
    if "slope" in arrays:
        sums = np.where(sums < 0, sums * arrays["slope"], sums)
    if "gain" in arrays:
        sums = sums * arrays["gain"]
    if "offset" in arrays:
        sums = sums + arrays["offset"]
    if step.residual is not None:
        sums = sums + values[step.residual]
    return np.where(sums > 0, sums, np.float32(0)) if step.relu else sums


_STEPS = {
    Op.SIGN: _sign,
    Op.BINARY: _binary,
    Op.CONV: _conv,
    Op.AVERAGE: _pool,
    Op.MAX: _pool,
    Op.FINISH: _finish,
    Op.LOOKUP: _lookup,
}
