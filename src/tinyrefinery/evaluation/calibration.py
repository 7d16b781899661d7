"""Whether probabilities mean what they say: expected calibration error, NLL, Brier score."""

import numpy as np

ECE_BINS = 15  # Guo et al. 2017, section 5
_TINY = float(np.finfo(np.float32).tiny)  # least normal float32: a softmax in float32 can reach 0


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = ECE_BINS
) -> float:
    """Mean distance of confidence from accuracy over confidence bins, in [0, 1].

    With `bins` equal bins (m/bins, (m+1)/bins] of the top-1 probability: sum over bins of
    n_bin / N * |accuracy_bin - mean confidence_bin| (Guo et al. 2017, equation 3).

    Args:
        probabilities: (N, K), rows sum to one.
        labels: (N,) class numbers.
        bins: number of equal-width bins.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    surplus = np.bincount(place, weights=correct - confidence, minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -ln(probability of the label) in nats, >= 0.

    A probability of zero counts as the least normal float32 (87.3 nats), so the mean stays finite.
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1).astype(np.float64)
    return float(-np.log(np.maximum(own, _TINY)).mean())


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance of probabilities from the one-hot label, in [0, 2] (Brier, 1950)."""
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    squares = np.einsum("nk,nk->n", probabilities, probabilities, dtype=np.float64)
    return float(np.mean(squares - 2 * own + 1))
