"""Intervals of shares and of their differences."""

import numpy as np

_Z = 1.959964  # 95 %


def wilson(successes: float, n: int, z: float = _Z) -> tuple[float, float]:
    """Wilson's (1927) 95 % interval of a share; (0, 1) of nothing."""
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    center = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


def newcombe(a: float, n: int, b: float, m: int) -> tuple[float, float]:
    """Newcombe's (1998, method 10) 95 % interval of a/n - b/m; (-1, 1) where one has nothing."""
    if not (n and m):
        return -1.0, 1.0
    p, q = a / n, b / m
    (low_p, high_p), (low_q, high_q) = wilson(a, n), wilson(b, m)
    below = np.hypot(p - low_p, high_q - q)
    above = np.hypot(high_p - p, q - low_q)
    return float(p - q - below), float(p - q + above)
