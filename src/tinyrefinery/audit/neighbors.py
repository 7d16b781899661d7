"""How near images come to one another in a data set without being copies.

Of photographs, hardly any two are alike; of handwritten ones, many are. So a likeness that proves a
copy in one set is common in the other. What tells is the ratio to the likeness of strangers: a copy
is much nearer than the image's other neighbors (the ratio test of Lowe 2004, "Distinctive image
features from scale-invariant keypoints", section 7.1).
"""

import numpy as np

RANK = 20
"""Our choice: the neighbor that is a stranger, if an image has fewer copies than that. CIFAR-10 has
one car twenty times: at rank 5 its copies pass for strangers."""
FEWEST = 200
"""Our choice: a set of fewer images doesn't tell how near strangers come."""
_ALL = 400_000_000  # pairs of thumbnails up to which every image is asked: a few seconds
_LEAST = 10_000  # images that are asked in any case
_BLOCK = 2048


def stranger_distances(thumbs: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Distance 1 - r of the `RANK`th nearest image of a set, r being the thumbnails' correlation.

    Args:
        thumbs: the set, uint8 (N, h, w, C).
        asked: (M, h, w, C) uint8; each stands in the set itself, or its mirror image does.

    Returns:
        (M,) float32; infinity where the set is too small to tell.
    """
    n = len(thumbs)
    if n < FEWEST:
        return np.full(len(asked), np.inf, np.float32)
    among = np.arange(n)
    most = max(_LEAST, _ALL // max(len(asked), 1))
    if n > most:
        among = np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    best = np.full((len(asked), RANK + 1), -1.0, np.float32)  # one of them may be the image itself
    for at in range(0, len(among), _BLOCK):
        others = unit(thumbs[among[at : at + _BLOCK]])
        for place in range(0, len(asked), _BLOCK):
            some = slice(place, place + _BLOCK)
            found = np.concatenate([best[some], unit(asked[some]) @ others.T], axis=1)
            best[some] = -np.partition(-found, RANK, axis=1)[:, : RANK + 1]
    return 1 - best.min(axis=1)


def unit(thumbs: np.ndarray) -> np.ndarray:
    """Thumbnails as vectors (n, h w C) float32 of mean 0 and length 1; even ones are 0."""
    vectors = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-9)
