"""Pixels of images: resident in memory, or decoded on demand."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tinyrefinery.data.blobs import Blobs
from tinyrefinery.data.decode import decode
from tinyrefinery.errors import DataError

if TYPE_CHECKING:
    import torch


class ChangedImageError(DataError):
    """An image was changed or removed after its dataset was opened."""

    def __init__(self, row: int, what: str) -> None:
        super().__init__(f"image {row} changed since it was opened: {what}")
        self.row = row


class Images(Protocol):
    """Pixels of all manifest rows."""

    channels: int
    """1 (gray) or 3 (RGB)."""
    sizes: np.ndarray
    """Height and width of each image in pixels, (N, 2) int32."""

    def __len__(self) -> int: ...

    def pixels(self, row: int) -> np.ndarray:
        """One image as uint8 (H, W, C)."""
        ...

    def select(self, rows: np.ndarray) -> "Images":
        """The images of some rows, in that order."""
        ...


class ResidentImages:
    """Decoded images of one size in one uint8 array: the fast path for small images."""

    def __init__(self, array: "torch.Tensor") -> None:
        """Store `array`, uint8 (N, C, H, W), on any device."""
        import torch  # here, so that an audit of encoded images does without it

        if array.dtype != torch.uint8 or array.ndim != 4:
            raise ValueError(
                f"resident images are uint8 (N, C, H, W), not {array.dtype} {tuple(array.shape)}"
            )
        self.array = array
        self.channels = array.shape[1]
        self.sizes = np.broadcast_to(np.array(array.shape[2:], np.int32), (len(array), 2))

    def __len__(self) -> int:
        return len(self.array)

    def pixels(self, row: int) -> np.ndarray:
        """One image as uint8 (H, W, C)."""
        return self.array[row].permute(1, 2, 0).cpu().numpy()

    def select(self, rows: np.ndarray) -> "ResidentImages":
        """A copy of some rows, in that order."""
        import torch

        return ResidentImages(self.array[torch.as_tensor(rows, device=self.array.device)])


class EncodedImages:
    """Encoded images (bytes or files), decoded on access: for photographs.

    `pixels` is thread-safe, and the object is picklable.
    """

    def __init__(
        self,
        blobs: Blobs,
        sizes: np.ndarray,
        channels: int,
        rows: np.ndarray | None = None,
        kept: dict[int, np.ndarray] | None = None,
    ) -> None:
        """Select the images `rows` of `blobs` (all by default).

        Args:
            blobs: the encoded images.
            sizes: (N, 2) height and width of the selected images in pixels, as decoded.
            channels: 3 to decode as RGB, 1 as gray.
            rows: (N,) indices into `blobs`.
            kept: where to keep decoded images, by index into `blobs`, so that each is decoded once;
                None: nowhere.
        """
        self.kept = kept
        self.blobs = blobs
        self.sizes = np.asarray(sizes, np.int32)
        self.channels = channels
        self.rows = np.arange(len(blobs)) if rows is None else np.asarray(rows, np.int64)
        if len(self.rows) != len(self.sizes):
            raise ValueError(f"{len(self.rows)} images, but {len(self.sizes)} sizes")

    def __len__(self) -> int:
        return len(self.rows)

    def encoded(self, row: int) -> bytes:
        """The bytes of one image file."""
        return self.blobs[int(self.rows[row])]

    def pixels(self, row: int) -> np.ndarray:
        """One image as uint8 (H, W, C).

        Raises:
            ChangedImageError: if the image is no longer readable or has another size than when the
                dataset was opened.
        """
        place = int(self.rows[row])
        if self.kept is not None and place in self.kept:
            return self.kept[place]
        try:
            pixels = decode(self.encoded(row), self.channels)
        except (OSError, DataError) as error:
            raise ChangedImageError(row, str(error)) from error
        if pixels.shape[:2] != tuple(self.sizes[row]):
            before = tuple(self.sizes[row].tolist())
            raise ChangedImageError(row, f"its size was {before}, now it is {pixels.shape[:2]}")
        if self.kept is not None:
            self.kept[place] = pixels
        return pixels

    def select(self, rows: np.ndarray) -> "EncodedImages":
        """The images of some rows, in that order, without copying."""
        chosen = self.rows[rows]
        return EncodedImages(self.blobs, self.sizes[rows], self.channels, chosen, self.kept)

    def __getstate__(self) -> dict[str, Any]:
        """All but the pixels, which can be decoded again."""
        return self.__dict__ | {"kept": None if self.kept is None else {}}
