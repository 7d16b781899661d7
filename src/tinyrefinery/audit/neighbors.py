"""How close unrelated images of a dataset are.

Hardly any two photographs are similar, but many handwritten digits are. A similarity that proves a
copy in one dataset is common in the other. What separates them is a ratio: a copy is much nearer
than the image's other neighbors (the ratio test of Lowe 2004, "Distinctive image features from
scale-invariant keypoints", section 7.1).
"""

import numpy as np

RANK = 20
"""Our choice: this neighbor counts as unrelated, if an image has fewer copies than that. CIFAR-10
has one car twenty times: at rank 5 its copies would count as unrelated."""
FEWEST = 200
"""Our choice: a smaller dataset does not show how close unrelated images are."""
_ALL = 400_000_000  # pairs of thumbnails up to which all images are compared: a few seconds
_LEAST = 10_000  # images that are compared in any case
_BLOCK = 2048


def unrelated_distances(thumbs: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Distance 1 - r to the `RANK`th nearest thumbnail, where r is the correlation.

    Args:
        thumbs: all thumbnails, uint8 (N, h, w, C).
        queries: (M, h, w, C) uint8. `thumbs` contains each of them or its mirror image.

    Returns:
        (M,) float32; infinity where there are too few thumbnails.
    """
    n = len(thumbs)
    if n < FEWEST:
        return np.full(len(queries), np.inf, np.float32)
    sample = np.arange(n)
    most = max(_LEAST, _ALL // max(len(queries), 1))
    if n > most:
        sample = np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    # (M, RANK + 1): the image itself may be among its neighbors.
    best = np.full((len(queries), RANK + 1), -1.0, np.float32)
    for at in range(0, len(sample), _BLOCK):
        others = unit(thumbs[sample[at : at + _BLOCK]])
        for start in range(0, len(queries), _BLOCK):
            block = slice(start, start + _BLOCK)
            candidates = np.concatenate([best[block], unit(queries[block]) @ others.T], axis=1)
            best[block] = -np.partition(-candidates, RANK, axis=1)[:, : RANK + 1]
    return 1 - best.min(axis=1)


def unit(thumbs: np.ndarray) -> np.ndarray:
    """Thumbnails as vectors (n, h w C) float32 of mean 0 and length 1. Uniform ones become 0."""
    vectors = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-9)
