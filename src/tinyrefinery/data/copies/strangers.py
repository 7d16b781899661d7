"""How much detail unrelated images of a dataset share.

Hardly any two photographs share fine detail, but many handwritten digits do, and so do ships on a
horizon. A likeness that proves a copy in one place is common in another. What separates them is a
ratio: a copy is much nearer than the image's other neighbors (the ratio test of Lowe 2004,
"Distinctive image features from scale-invariant keypoints", section 7.1).
"""

import numpy as np

from tinyrefinery.data.copies.alignment import shared_detail
from tinyrefinery.data.copies.candidates import Candidates
from tinyrefinery.data.copies.fingerprints import Fingerprints, frequencies

RANK = 20
"""Our choice: neighbors after this one count as unrelated, if an image has fewer copies than that.
CIFAR-10 has one car twenty times: at rank 5 its copies would count as unrelated."""
FEWEST = 200
"""Our choice: a smaller dataset does not show how much detail unrelated images share."""
COMPARED = 6
"""Our choice: neighbors after `RANK` that are aligned with an image."""
CROWDED = 0.5
"""Our choice: largest distance of a candidate, as a share of the distance to neighbor `RANK`."""
IDENTICAL = 0.99  # a similarity at which a candidate counts in any crowd
_MOST = 10_000  # images among which unrelated ones are looked for
_TYPICAL, _USUAL = 500, 0.99  # images, and the share of their neighbors' details
_BLOCK = 64  # images at a time, each beside all of the sample


def outside_crowds(candidates: Candidates, n: int) -> Candidates:
    """Drop candidates of images with many, unless they are much nearer than most of these.

    Where more than `RANK` images are similar to one, similarity proves little, and to align all of
    them would take long.

    Args:
        candidates: pairs of positions below `n`.
        n: number of images.
    """
    first, second = candidates.pairs.T
    distance = 1 - candidates.similarity
    ends = np.concatenate([first, second])
    both = np.concatenate([distance, distance])
    order = np.lexsort((both, ends))
    starts = np.searchsorted(ends[order], np.arange(n))
    counts = np.bincount(ends, minlength=n)
    limit = np.full(n, np.inf)
    crowded = np.flatnonzero(counts > RANK)
    limit[crowded] = CROWDED * both[order][starts[crowded] + RANK]
    keep = (distance <= np.minimum(limit[first], limit[second])) | (distance <= 1 - IDENTICAL)
    return candidates.select(keep)


def unrelated_detail(prints: Fingerprints, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The most detail that each image shares with similar but unrelated images, (M,) float32.

    It is not less than what all but one in a hundred such pairs of the dataset share: chance
    finds a good match for one digit that it doesn't find for the next.

    Args:
        prints: of all images.
        rows: (N,) positions of the images to compare.
        images: (M,) positions, among `rows`.

    Returns:
        Correlations as `shared_detail` measures them; minus infinity in a dataset of fewer than
        `FEWEST` images.
    """
    n = len(rows)
    if n < FEWEST or not len(images):
        return np.full(len(images), -np.inf, np.float32)
    random = np.random.default_rng(0)
    typical = rows[random.choice(n, min(n, _TYPICAL), replace=False)]
    detail = _detail_of_neighbors(prints, rows, np.concatenate([images, typical]))
    usual = np.quantile(detail[len(images) :], _USUAL)
    return np.maximum(detail[: len(images)].max(1), usual).astype(np.float32)


def _detail_of_neighbors(prints: Fingerprints, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The detail that images (M,) share with neighbors after `RANK`, (M, COMPARED) float32."""
    n, sample = len(rows), rows
    if n > _MOST:
        sample = rows[np.sort(np.random.default_rng(0).choice(n, _MOST, replace=False))]
    even, odd = frequencies(prints.thumbs[sample])
    neighbors, mirrored = [], []
    for at in range(0, len(images), _BLOCK):
        block = images[at : at + _BLOCK]
        even_of, odd_of = frequencies(prints.thumbs[block])
        opposed = odd_of @ odd.T
        similarity = even_of @ even.T + np.abs(opposed)
        similarity[block[:, None] == sample] = 2.0  # the image itself comes first
        place = _ranked(similarity)
        neighbors.append(sample[place])
        mirrored.append(np.take_along_axis(opposed, place, 1) < 0)
    others = np.concatenate(neighbors)
    pairs = np.stack([np.repeat(images, COMPARED), others.ravel()], 1)
    detail = shared_detail(prints, pairs, np.concatenate(mirrored).ravel())
    return detail.reshape(-1, COMPARED)


def _ranked(similarity: np.ndarray) -> np.ndarray:
    """Places of the `COMPARED` neighbors after `RANK`, (m, COMPARED); place 0 is the image."""
    nearest = np.argpartition(-similarity, RANK + COMPARED, axis=1)[:, : RANK + COMPARED + 1]
    order = np.argsort(-np.take_along_axis(similarity, nearest, 1), axis=1, kind="stable")
    return np.take_along_axis(nearest, order[:, RANK + 1 :], 1)
