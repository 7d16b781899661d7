"""Formatting numbers for people."""

from tinyrefinery.statistics.paired import Gain, Spread

NOTHING = "–"


def percent(value: Spread | None) -> str:
    """A share in percent, e.g. "81.3 ± 0.4", without ± for one seed."""
    return _with_std(value, 100, 1)


def nats(value: Spread | None) -> str:
    """A distance in nats, e.g. "0.81 ± 0.01"."""
    return _with_std(value, 1, 2)


def four_digits(value: float) -> str:
    """A number with four significant digits, large ones without an exponent, e.g. "16,630"."""
    return f"{float(f'{value:.4g}'):,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def signed(points: float) -> str:
    """A difference of shares in percentage points with a sign, e.g. "+1.9" or "−0.3"."""
    return f"{100 * points:+.1f}".replace("-", "−")


def gain_points(gain: Gain | None) -> str:
    """A gain in points with its interval, e.g. "+1.9 [+0.8, +3.0]"."""
    if gain is None:
        return NOTHING
    if gain.low is None or gain.high is None:
        return signed(gain.mean)
    return f"{signed(gain.mean)} [{signed(gain.low)}, {signed(gain.high)}]"


def kilo(count: float | None) -> str:
    """A count with three digits and k, M or G, e.g. "78.0k"."""
    if count is None:
        return NOTHING
    for power, unit in ((9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power:
            return f"{count / 10**power:.3g}{unit}"
    return f"{count:.0f}"


def _with_std(value: Spread | None, scale: float, digits: int) -> str:
    """Mean ± standard deviation."""
    if value is None:
        return NOTHING
    mean = f"{scale * value.mean:.{digits}f}".replace("-", "−")
    return mean if value.std is None else f"{mean} ± {scale * value.std:.{digits}f}"
