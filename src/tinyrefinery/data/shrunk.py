"""Large photographs at the size that a kind of crop needs, shrunk once and kept in the cache.

A photograph of 12 megapixels takes about 25 times as long to decode as one of 500x375 pixels
(`benchmarks/large_photos.py`), in every epoch, although crops for a small network need far fewer
pixels. So a photograph that is much larger
than needed is shrunk when it is first used: as little as possible, so that the smallest crop still
has at least as many pixels as the network's input. Small photographs are used as they are.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import simplejpeg
import torch

from tinyrefinery.data.decode import decode
from tinyrefinery.data.findings_cache import cache_folder
from tinyrefinery.data.images import ChangedImageError, EncodedImages
from tinyrefinery.data.transforms import resize_pixels
from tinyrefinery.errors import DataError, StorageError
from tinyrefinery.files import write_atomic
from tinyrefinery.options.crops import Center, Crop, Inception

log = logging.getLogger("tinyrefinery")

STEP, SMALLEST = 32, 256
"""Shorter sides of copies are multiples of `STEP` pixels, so that views of a dataset share copies,
and at least `SMALLEST`, which costs little to decode and leaves more pixels than needed."""
MUCH_LARGER = 2
"""An image is shrunk where its shorter side is more than so many times that of its copy."""
_QUALITY = 92
_VERSION = 1  # raise it when copies get other pixels


def shorter_sides(crop: Crop, size: tuple[int, int], sizes: np.ndarray) -> np.ndarray:
    """Shorter side at which each image still covers every crop of a kind, in pixels, (N,).

    Args:
        crop: how images are cut.
        size: height and width at which crops are rendered.
        sizes: height and width of the images, (N, 2).
    """
    height, width = np.asarray(sizes, np.float64).T
    shorter = np.minimum(height, width)
    if isinstance(crop, Inception):
        # The lowest and the narrowest box of the smallest area.
        root = np.sqrt(crop.area[0] * height * width)
        lowest, narrowest = root / np.sqrt(crop.aspect[1]), root * np.sqrt(crop.aspect[0])
        return shorter * np.maximum(size[0] / lowest, size[1] / narrowest)
    if isinstance(crop, Center):
        larger = max(size[0] / crop.size[0], size[1] / crop.size[1])
        if crop.resize is not None:
            return np.full(len(height), crop.resize * larger)
        return shorter * np.maximum(crop.size[0] / height, crop.size[1] / width) * larger
    return shorter  # padded crops are copied pixel by pixel


class ShrunkImages:
    """Images of which those much larger than needed are shrunk. `pixels` is thread-safe."""

    def __init__(self, images: EncodedImages, ids: np.ndarray, sides: np.ndarray) -> None:
        """Shrink `images` on demand.

        Args:
            images: the photographs.
            ids: SHA-256 of each image's bytes, (N,).
            sides: shorter side of each image's copy in pixels, (N,); 0 for images to use as they
                are.
        """
        self.images, self.ids, self.sides = images, ids, sides
        self.channels = images.channels
        shorter = np.maximum(images.sizes.min(axis=1), 1)
        scale = np.where(sides > 0, sides / shorter, 1.0)[:, None]
        self.sizes = np.maximum(np.rint(images.sizes * scale), 1).astype(np.int32)

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: np.ndarray) -> "ShrunkImages":
        """The images of some rows, in that order."""
        return ShrunkImages(self.images.select(rows), self.ids[rows], self.sides[rows])

    def pixels(self, row: int) -> np.ndarray:
        """One image as uint8 (H, W, C), shrunk where it is large.

        Raises:
            ChangedImageError: if the image is no longer readable, or changed since it was opened.
        """
        if not self.sides[row]:
            return self.images.pixels(row)
        place = _place(str(self.ids[row]), int(self.sides[row]), self.channels)
        try:
            copy = decode(place.read_bytes(), self.channels)
            if copy.shape[:2] == tuple(self.sizes[row]):
                return copy
        except (OSError, DataError):
            pass  # not there yet, or damaged
        return self._make(row, place)

    def _make(self, row: int, place: Path) -> np.ndarray:
        try:
            data = self.images.encoded(row)
            if sha256(data).hexdigest() != self.ids[row]:
                raise ChangedImageError(row, "its bytes are others")
            pixels = decode(data, self.channels, longest=int(self.sizes[row].max()))
        except ChangedImageError:
            raise
        except (OSError, DataError) as error:
            raise ChangedImageError(row, str(error)) from error
        height, width = (int(side) for side in self.sizes[row])
        small = resize_pixels(torch.from_numpy(pixels), (height, width)).contiguous().numpy()
        color = "RGB" if self.channels == 3 else "GRAY"
        encoded = simplejpeg.encode_jpeg(small, _QUALITY, color, colorsubsampling="420")
        try:
            write_atomic(place, encoded)
        except StorageError:
            _warn_once(cache_folder())
        # What is used now is what the cache gives later, to the last bit.
        return decode(encoded, self.channels)


def shrunk(
    images: EncodedImages, ids: Callable[[], np.ndarray], crop: Crop, size: tuple[int, int]
) -> EncodedImages | ShrunkImages:
    """Images of which the large ones are shrunk to what crops rendered at `size` need.

    Args:
        images: the photographs.
        ids: gives the SHA-256 of each image's bytes, (N,).
        crop: how images are cut.
        size: height and width at which crops are rendered.
    """
    needed = shorter_sides(crop, size, images.sizes)
    sides = np.maximum(np.ceil(needed / STEP - 1e-6) * STEP, SMALLEST).astype(np.int64)
    large = images.sizes.min(axis=1) > MUCH_LARGER * sides
    sides = np.where(large, sides, 0)
    return ShrunkImages(images, ids(), sides) if sides.any() else images


def _place(identity: str, side: int, channels: int) -> Path:
    folder = cache_folder() / f"shrunk-v{_VERSION}" / f"{side}-{channels}" / identity[:2]
    return folder / f"{identity}.jpg"


@lru_cache(maxsize=8)
def _warn_once(cache: Path) -> None:
    log.warning(
        f"{cache}: this cache is full or not writable, so large photographs are shrunk again in "
        "every epoch, which takes long. Set TINYREFINERY_CACHE to another folder"
    )
