"""Threshold samples: training images that are trained with a wrong label on purpose.

How they fare in training shows how images with wrong labels fare, so that likely label errors get a
threshold (Pleiss et al. 2020, arXiv 2001.10528, section 4.2). There, threshold samples have a class
of their own. Here they have a random other class, so the network needs no further output.
"""

import numpy as np

from tinyrefinery.random import uniform

NONE = -1
"""Class of images that are no threshold samples."""


def threshold_classes(labels: np.ndarray, classes: int, share: float) -> np.ndarray:
    """The class of each threshold sample, which is never the given one.

    The draw depends on the row of the manifest only: each seed of a recipe has the same samples.

    Args:
        labels: (N,) given classes of all rows of the manifest.
        classes: K.
        share: of the images, in [0, 1).

    Returns:
        (N,) int64; `NONE` where an image keeps its class.
    """
    found = np.full(len(labels), NONE, np.int64)
    if not share or classes < 2:
        return found
    draws = uniform(0, "threshold samples", 0, np.arange(len(labels)), 2)
    chosen = draws[:, 0] < share
    others = (labels + 1 + (draws[:, 1] * (classes - 1)).astype(np.int64)) % classes
    found[chosen] = others[chosen]
    return found
