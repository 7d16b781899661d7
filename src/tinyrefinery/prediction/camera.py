"""Frames of a camera, through OpenCV where it is installed."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from tinyrefinery.errors import DataError


def camera_frames(number: int) -> Iterator[np.ndarray]:
    """Frames of a camera, uint8 (H, W, 3) in RGB, until it delivers no more.

    Args:
        number: of the camera, counted by OpenCV from 0.

    Raises:
        DataError: when OpenCV is missing, or the camera can't be opened.
    """
    try:
        cv2: Any = import_module("cv2")
    except ImportError as error:
        raise DataError(
            "--camera needs OpenCV, which is not installed. "
            "Type: pip install opencv-python-headless"
        ) from error
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise DataError(
                f"camera {number}: can't be opened. Check that it is plugged in and not in use, or "
                "give another number"
            )
        while True:
            whole, frame = camera.read()
            if not whole:
                return
            yield np.ascontiguousarray(frame[..., ::-1])  # OpenCV's order is BGR
    finally:
        camera.release()
