"""Pictures that a user named: which files they are, and their pixels in batches."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyrefinery.data.blobs import read_file
from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.examine import cores
from tinyrefinery.data.shrunk import pixels_of_file
from tinyrefinery.data.sources.found_pictures import image_files
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Crop

BATCH = 64
"""Pictures that are in memory at the same time."""


@dataclass(frozen=True)
class PictureFiles:
    """Files of pictures, in the order in which the user named them."""

    paths: tuple[str, ...]
    """Each file once. Folders are replaced by the pictures in them, sorted."""
    ignored: tuple[Problem, ...] = ()
    """Files in folders that are not pictures, by their extension."""


@dataclass(frozen=True)
class PictureBatch:
    """Pictures of some files. Broken files have a reason instead of pixels."""

    arrays: tuple[np.ndarray, ...] = field(repr=False)
    """The intact pictures, uint8 (H, W, C) each."""
    paths: tuple[str, ...]
    """Of the intact pictures."""
    broken: tuple[Problem, ...] = ()


def find_pictures(places: Iterable[str | Path]) -> PictureFiles:
    """List the pictures that files and folders mean.

    Args:
        places: files, whatever their extension, and folders, which are searched at any depth for
            files with the extension of a picture. Hidden files in folders are ignored.

    Raises:
        DataError: when a place does not exist, or a folder has no picture.
    """
    paths: dict[str, str] = {}
    ignored: list[Problem] = []
    for place in map(Path, places):
        place = place.expanduser()
        if not place.exists():
            raise DataError(f"{place}: there is no such file or folder of pictures")
        found = [str(place)]
        if place.is_dir():
            found, others = image_files(place)
            ignored += others
            if not found:
                raise DataError(f"{place}: this folder has no picture. Give a folder that has some")
        paths |= {os.path.normpath(path): path for path in found}
    return PictureFiles(tuple(dict.fromkeys(paths.values())), tuple(ignored))


def read_pictures(
    paths: Sequence[str], channels: int, crop: Crop, size: int = BATCH
) -> Iterator[PictureBatch]:
    """Decode pictures, a batch at a time. Large photographs are shrunk, as for an evaluation.

    Args:
        paths: the files.
        channels: 3 for RGB, 1 for gray.
        crop: how the pictures will be cut.
        size: files per batch.
    """

    def read(path: str) -> np.ndarray | str:
        """Pixels, or the reason why there are none."""
        try:
            return pixels_of_file(read_file(path), channels, crop)
        except OSError as error:
            return f"can't be read ({error.strerror or error})"
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), size):
            chunk = paths[start : start + size]
            found = list(zip(chunk, pool.map(read, chunk), strict=True))
            whole = [(path, each) for path, each in found if not isinstance(each, str)]
            broken = [
                Problem("broken_image", path, each) for path, each in found if isinstance(each, str)
            ]
            arrays, names = tuple(p for _, p in whole), tuple(path for path, _ in whole)
            yield PictureBatch(arrays, names, tuple(broken))
