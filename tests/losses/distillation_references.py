"""The losses of `losses.distillation` in float64 NumPy, from the formulas of their papers."""

import numpy as np

DISTILLATION = [
    ("standardized_kl", {}),
    ("standardized_kl", {"temperature": 1.0, "floor": 1e-3}),
    ("dkd", {}),
    ("dkd", {"alpha": 2.0, "beta": 0.5, "temperature": 1.0}),
    ("dist", {}),
    ("dist", {"beta": 2.0, "gamma": 0.5, "temperature": 4.0}),
]
DEFAULTS = {
    "standardized_kl": {"temperature": 2.0, "floor": 1e-6},
    "dkd": {"alpha": 1.0, "beta": 8.0, "temperature": 4.0, "floor": 1e-6},
    "dist": {"beta": 1.0, "gamma": 1.0, "temperature": 1.0, "floor": 1e-6},
}


def softmax(x: np.ndarray) -> np.ndarray:
    """Of each row."""
    power = np.exp(x - x.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Of each row."""
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def distillation(name: str, options: dict, z: np.ndarray, t: np.ndarray) -> float:
    """The loss of logits z (B, K) and labels t (B, K); the refiner's logits are log t."""
    o = DEFAULTS[name] | options
    v, temperature = np.log(np.maximum(t, o["floor"])), o["temperature"]
    if name == "standardized_kl":
        return float(
            np.mean([_standardized(*pair, temperature) for pair in zip(v, z, strict=True)])
        )
    if name == "dkd":
        pairs = zip(v, z, strict=True)
        return float(np.mean([_dkd(*pair, o["alpha"], o["beta"], temperature) for pair in pairs]))
    y_t, y_s = softmax(v / temperature), softmax(z / temperature)
    inter = np.mean([1 - _pearson(a, b) for a, b in zip(y_s, y_t, strict=True)])
    intra = np.mean([1 - _pearson(a, b) for a, b in zip(y_s.T, y_t.T, strict=True)])
    return float(temperature**2 * (o["beta"] * inter + o["gamma"] * intra))


def _standardized(v: np.ndarray, z: np.ndarray, temperature: float) -> float:
    def zscore(x: np.ndarray) -> np.ndarray:
        mean = sum(x) / len(x)
        return (x - mean) / max(np.sqrt(sum((x - mean) ** 2) / len(x)), 1e-7) / temperature

    q, log_q, log_p = softmax(zscore(v)), log_softmax(zscore(v)), log_softmax(zscore(z))
    return temperature**2 * float((q * (log_q - log_p)).sum())


def _dkd(v: np.ndarray, z: np.ndarray, alpha: float, beta: float, temperature: float) -> float:
    target = int(v.argmax())
    others = [i for i in range(len(v)) if i != target]
    log_t, log_s = log_softmax(v / temperature), log_softmax(z / temperature)

    def log_sum(x: np.ndarray) -> float:
        return float(x.max() + np.log(np.exp(x - x.max()).sum()))

    not_t, not_s = log_sum(log_t[others]), log_sum(log_s[others])
    tckd = np.exp(log_t[target]) * (log_t[target] - log_s[target])
    tckd += np.exp(not_t) * (not_t - not_s)
    hat_t, hat_s = log_t[others] - not_t, log_s[others] - not_s
    nckd = (np.exp(hat_t) * (hat_t - hat_s)).sum()
    return float(temperature**2 * (alpha * tckd + beta * nckd))


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Of outputs a and labels b; 0 for labels that are constant."""
    a, b = a - a.mean(), b - b.mean()
    norm_a, norm_b = np.sqrt((a**2).sum()), np.sqrt((b**2).sum())
    return float((a * b).sum() / (max(norm_a, 1e-5) * norm_b)) if norm_b > 1e-7 else 0.0
