"""Test vectors of an artefact: inputs, expected outputs, tolerance, in one .npz file."""

import io
import zipfile
from dataclasses import dataclass

import numpy as np

from tinyrefinery.errors import DataError

COUNT = 16
"""Images in a file."""
FLOAT_TOLERANCE = 1e-4
INT8_TOLERANCE = 2 / 256
"""Two steps of an 8-bit probability: processors round differently."""


@dataclass(frozen=True)
class Vectors:
    """What an artefact must reproduce."""

    inputs: np.ndarray
    """(N, h, w, C) uint8 pixels."""
    outputs: np.ndarray
    """(N, K) float32 probabilities."""
    tolerance: float
    """Largest allowed difference of a probability."""

    def to_bytes(self) -> bytes:
        """The content of the .npz file."""
        file = io.BytesIO()
        np.savez_compressed(
            file, inputs=self.inputs, outputs=self.outputs, tolerance=np.float64(self.tolerance)
        )
        return file.getvalue()

    @staticmethod
    def from_bytes(content: bytes, name: str) -> "Vectors":
        """Read the content of a .npz file.

        Raises:
            DataError: if it is damaged.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                return Vectors(held["inputs"], held["outputs"], float(held["tolerance"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{name}: the test vectors are damaged ({error}). Export the network again"
            ) from error
