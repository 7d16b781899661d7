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

from tinyrefinery.data.decode import decode, image_size
from tinyrefinery.data.images import ChangedImageError, EncodedImages
from tinyrefinery.errors import DataError, StorageError
from tinyrefinery.files import cache_folder, write_atomic
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
        self.sizes = _copy_sizes(images.sizes, sides)

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
        size = (int(self.sizes[row, 0]), int(self.sizes[row, 1]))
        place = _place(str(self.ids[row]), int(self.sides[row]), self.channels)
        copy = _kept_copy(place, size, self.channels)
        if copy is not None:
            return copy
        try:
            data = self.images.encoded(row)
            if sha256(data).hexdigest() != self.ids[row]:
                raise ChangedImageError(row, "its bytes are others")
            return _make_copy(data, place, size, self.channels)
        except ChangedImageError:
            raise
        except (OSError, DataError) as error:
            raise ChangedImageError(row, str(error)) from error


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
    sides = _copy_sides(crop, size, images.sizes)
    return ShrunkImages(images, ids(), sides) if sides.any() else images


def pixels_of_file(data: bytes, channels: int, crop: Crop) -> np.ndarray:
    """One image as uint8 (H, W, C), with the pixels that a view of a dataset has of this file.

    Args:
        data: the contents of an image file.
        channels: 3 for RGB, 1 for gray.
        crop: how it will be cut.

    Raises:
        BrokenImageError: if the bytes are not a complete image.
    """
    sizes = np.array([image_size(data)], np.int32)
    side = int(_copy_sides(crop, crop.size, sizes)[0])
    if not side:
        return decode(data, channels)
    height, width = _copy_sizes(sizes, np.array([side]))[0].tolist()
    place = _place(sha256(data).hexdigest(), side, channels)
    copy = _kept_copy(place, (height, width), channels)
    return _make_copy(data, place, (height, width), channels) if copy is None else copy


def _copy_sides(crop: Crop, size: tuple[int, int], sizes: np.ndarray) -> np.ndarray:
    """Shorter side of each image's copy in pixels, (N,); 0 for images to use as they are."""
    needed = shorter_sides(crop, size, sizes)
    sides = np.maximum(np.ceil(needed / STEP - 1e-6) * STEP, SMALLEST).astype(np.int64)
    return np.where(sizes.min(axis=1) > MUCH_LARGER * sides, sides, 0)


def _copy_sizes(sizes: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Height and width of each image's copy in pixels, (N, 2) int32."""
    shorter = np.maximum(sizes.min(axis=1), 1)
    scale = np.where(sides > 0, sides / shorter, 1.0)[:, None]
    return np.maximum(np.rint(sizes * scale), 1).astype(np.int32)


def _kept_copy(place: Path, size: tuple[int, int], channels: int) -> np.ndarray | None:
    """The copy in the cache; None if it is not there yet, or damaged."""
    try:
        copy = decode(place.read_bytes(), channels)
    except (OSError, DataError):
        return None
    return copy if copy.shape[:2] == size else None


def _make_copy(data: bytes, place: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    pixels = decode(data, channels, longest=max(size))
    import torch  # takes seconds to import, and datasets open without it

    from tinyrefinery.data.transforms import resize_pixels

    small = resize_pixels(torch.from_numpy(pixels), size).contiguous().numpy()
    color = "RGB" if channels == 3 else "GRAY"
    encoded = simplejpeg.encode_jpeg(small, _QUALITY, color, colorsubsampling="420")
    try:
        write_atomic(place, encoded)
    except StorageError:
        _warn_once(cache_folder())
    # What is used now is what the cache gives later, to the last bit.
    return decode(encoded, channels)


def _place(identity: str, side: int, channels: int) -> Path:
    folder = cache_folder() / f"shrunk-v{_VERSION}" / f"{side}-{channels}" / identity[:2]
    return folder / f"{identity}.jpg"


@lru_cache(maxsize=8)
def _warn_once(cache: Path) -> None:
    log.warning(
        f"{cache}: this cache is full or not writable, so large photographs are shrunk again in "
        "every epoch, which takes long. Set TINYREFINERY_CACHE to another folder"
    )
