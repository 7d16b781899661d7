"""Small pictures for a page that needs nothing else."""

from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from tinyrefinery.curation.small_images import load_chunk
from tinyrefinery.data.dataset import Dataset

SIDE = 96  # pixels at most: 500 of them take about 1.2 MB
_QUALITY = 80


def picture(dataset: Dataset, row: int) -> str:
    """One image as a data: address, JPEG, at most `SIDE` pixels high and wide."""
    stack = load_chunk(dataset, np.array([row])).stacks[0]
    pixels = stack.pixels[0]
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode()
