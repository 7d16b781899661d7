"""Calibration of probabilities: expected calibration error, NLL, Brier score."""

import numpy as np

ECE_BINS = 15  # Guo et al. 2017, section 5
_TINY = float(np.finfo(np.float32).tiny)  # smallest normal float32; a float32 softmax can reach 0


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = ECE_BINS
) -> float:
    """Mean absolute difference of confidence and accuracy over confidence bins, in [0, 1].

    With `bins` equal bins (m/bins, (m+1)/bins] of the top-1 probability: sum over bins of
    n_bin / N * |accuracy_bin - mean confidence_bin| (Guo et al. 2017, equation 3).

    Args:
        probabilities: (N, K), rows sum to one.
        labels: (N,) class numbers.
        bins: number of equal-width bins.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bin_number = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)  # (N,)
    difference = np.bincount(bin_number, weights=correct - confidence, minlength=bins)  # (bins,)
    return float(np.abs(difference).sum() / len(labels))


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -ln(probability of the label) in nats, >= 0.

    A probability of zero counts as the smallest normal float32 (87.3 nats). So the mean is finite.
    """
    label_probability = np.take_along_axis(probabilities, labels[:, None], axis=1)
    return float(-np.log(np.maximum(label_probability.astype(np.float64), _TINY)).mean())


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance of probabilities from the one-hot label, in [0, 2] (Brier, 1950)."""
    label_probability = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    squares = np.einsum("nk,nk->n", probabilities, probabilities, dtype=np.float64)
    return float(np.mean(squares - 2 * label_probability.astype(np.float64) + 1))
