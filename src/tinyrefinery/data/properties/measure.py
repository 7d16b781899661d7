"""Measure properties of images that a network could use as shortcuts: a table, one row per image.

Pixel properties are measured on small images (`small_images`), from 0 (black) to 255 (white).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ChangedImageError, EncodedImages
from tinyrefinery.data.properties.file_facts import file_facts
from tinyrefinery.data.properties.property_names import COLOR, KINDS, MEASURES
from tinyrefinery.data.properties.small_images import Chunk, map_chunks

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as in `decode`


def image_properties(dataset: Dataset, rows: np.ndarray) -> pa.Table:
    """Measure some images.

    Args:
        dataset: with its pixels.
        rows: (N,) manifest rows, in any order; may be empty.

    Returns:
        N rows in that order: `id`, the columns of `MEASURES` (float64) and, if the images are
        encoded files, those of `KINDS`.

    Raises:
        ChangedImageError: if an image is no longer readable.
    """
    rows = np.asarray(rows, np.int64)
    chunks = map_chunks(dataset, rows, lambda chunk: chunk_properties(dataset, chunk))
    return properties_table(dataset, rows, chunks)


def properties_table(
    dataset: Dataset, rows: np.ndarray, chunks: Iterable[dict[str, Any]]
) -> pa.Table:
    """The table of `image_properties` from the results of `chunk_properties`."""
    types = {name: pa.float64() for name in MEASURES} | KINDS
    columns: dict[str, list[pa.Array]] = {}
    for chunk in chunks:
        for name, values in chunk.items():
            columns.setdefault(name, []).append(pa.array(values, types[name]))
    names = [name for name in MEASURES if dataset.images.channels == 3 or name not in COLOR]
    names += KINDS if isinstance(dataset.images, EncodedImages) else []
    table = {"id": pa.array(dataset.manifest.column("id")[rows].tolist(), pa.string())}
    measured = {n: pa.chunked_array(columns.get(n, []), types[n]).combine_chunks() for n in names}
    return pa.table(table | measured)


def chunk_properties(dataset: Dataset, chunk: Chunk) -> dict[str, Any]:
    """Values (n,) by name, in the order of the chunk's rows."""
    images = dataset.images
    height, width = images.sizes[chunk.rows].astype(np.float64).T
    result: dict[str, Any] = {"width": width, "height": height, "aspect": width / height}
    names = [n for n in MEASURES if n not in result and (images.channels == 3 or n not in COLOR)]
    values = chunk.measure(pixel_properties)  # (n, properties)
    result |= {name: values[:, number] for number, name in enumerate(names)}
    if isinstance(images, EncodedImages):
        try:
            facts = file_facts(images, chunk.rows)
        except OSError as error:
            raise ChangedImageError(int(chunk.rows[0]), str(error)) from error
        result |= {name: [image_facts[name] for image_facts in facts] for name in KINDS}
    return result


def pixel_properties(pixels: np.ndarray) -> np.ndarray:
    """The measures from `brightness` on, (n, 5) for gray and (n, 9) for RGB, float64.

    Args:
        pixels: uint8 (n, H, W, C).
    """
    n = len(pixels)
    values = pixels.astype(np.float32)
    luma = values @ _LUMA if pixels.shape[3] == 3 else values[..., 0]
    flat = luma.reshape(n, -1)
    columns = [flat.mean(1), flat.std(1), _sharpness(luma), _entropy(flat), _border(luma)]
    return np.stack(columns + (_colors(values) if pixels.shape[3] == 3 else []), 1).astype(float)


def _sharpness(luma: np.ndarray) -> np.ndarray:
    """Variance of the four-neighbor Laplacian without the border; 0 below three pixels a side."""
    if min(luma.shape[1:]) < 3:
        return np.zeros(len(luma), np.float32)
    laplacian = -4 * luma[:, 1:-1, 1:-1]
    laplacian += luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1]
    laplacian += luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    return laplacian.reshape(len(luma), -1).var(1)


def _entropy(luma: np.ndarray) -> np.ndarray:
    """Shannon entropy of each row's histogram of 256 levels, in bits."""
    n, pixels = luma.shape
    # Shift the levels of row i by 256 i, so that one bincount makes all histograms.
    levels = (luma + np.float32(0.5)).astype(np.int64) + 256 * np.arange(n)[:, None]
    share = np.bincount(levels.ravel(), minlength=256 * n).reshape(n, 256) / pixels
    logs = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return -(share * logs).sum(1)


def _border(luma: np.ndarray) -> np.ndarray:
    """Mean over a frame of a sixteenth of the shorter side, at least one pixel."""
    n, height, width = luma.shape
    edge = max(1, min(height, width) // 16)
    if 2 * edge >= min(height, width):
        return luma.reshape(n, -1).mean(1)
    inside = luma[:, edge:-edge, edge:-edge].reshape(n, -1)
    frame_sum = luma.reshape(n, -1).sum(1, dtype=np.float64) - inside.sum(1, dtype=np.float64)
    return frame_sum / (height * width - inside.shape[1])


def _colors(values: np.ndarray) -> list[np.ndarray]:
    """The measures of `COLOR` for float (n, H, W, 3)."""
    n = len(values)
    red, green, blue = (values[..., c].reshape(n, -1) for c in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    means = rg.mean(1), yb.mean(1)
    colorfulness = np.hypot(rg.std(1), yb.std(1)) + 0.3 * np.hypot(*means)
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    saturation = ((high - low) / np.maximum(high, 1)).mean(1)
    return [colorfulness, saturation, *means]
