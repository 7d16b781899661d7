"""Results as text, the same in every report."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyrefinery.data_tests import metric as metrics
from tinyrefinery.data_tests.costs import shown
from tinyrefinery.data_tests.verdicts import Measured, Result, Verdict
from tinyrefinery.pages.numbers import NOTHING

COLORS = {
    Verdict.PASS: "green",
    Verdict.UNPROVEN: "yellow",
    Verdict.FAIL: "red",
    Verdict.TOO_FEW: "yellow",
    Verdict.KNOWN: "blue",
    Verdict.XPASS: "magenta",
    Verdict.ERROR: "bright_red",
}
BAR = 10
"""Characters of a bar."""


def is_cost(result: Result) -> bool:
    """Whether the result is a cost of the network, without images."""
    return metrics.is_cost(result.metric)


def is_count(result: Result) -> bool:
    """Whether the result is a number of errors or a cost, rather than a share."""
    return result.metric == "errors" or is_cost(result)


def is_difference(result: Result) -> bool:
    """Whether the result is a gap or a loss."""
    return result.need.startswith(("gap", "loss"))


def value(measured: Measured | None, result: Result) -> str:
    """A measured value: a share with three digits, a number of errors, or a signed difference."""
    if measured is None:
        return NOTHING
    if is_cost(result):
        return shown(result.metric, measured.value)
    if is_count(result):
        return f"{measured.value:.0f}"
    if is_difference(result) and measured is result.measured:
        return f"{measured.value:+.3f}".replace("-", "−")
    return f"{measured.value:.3f}"


def recorded(metric: str, measured: Mapping[str, Any]) -> tuple[str, str, str]:
    """Number of images, value and interval of a kept measurement; a cost has a value alone."""
    if metrics.is_cost(metric):
        return "", shown(metric, measured["value"]), ""
    digits = 0 if metric == "errors" else 3
    low, high = measured["low"], measured["high"]
    return (
        f"{measured['n']:,}",
        f"{measured['value']:.{digits}f}",
        f"{low:.{digits}f} to {high:.{digits}f}",
    )


def interval(result: Result) -> str:
    """The interval of the measured value."""
    if result.measured is None or is_count(result):
        return NOTHING
    low, high = result.measured.interval
    if is_difference(result):
        return f"{low:+.3f} to {high:+.3f}".replace("-", "−")
    return f"{low:.3f}-{high:.3f}"


def bar(measured: Measured | None, result: Result) -> str:
    """A share as a bar of characters; empty for counts."""
    if measured is None or is_count(result):
        return ""
    full = round(BAR * max(0.0, min(1.0, measured.value)))
    return "█" * full + "░" * (BAR - full)


def word(result: Result) -> str:
    """The verdict, with `~` if a failure is within noise."""
    return result.verdict.value + (" ~" if result.within_noise else "")


def reason(result: Result) -> str:
    """Why the verdict is not PASS, in one line; empty without a remark."""
    known_failure = f"known: {result.known_failure}" if result.known_failure else ""
    noise = "the interval includes the bound: within noise" if result.within_noise else ""
    if result.verdict is Verdict.XPASS:
        known_failure += "; it passes now: remove known_failure"
    return "; ".join(part for part in (result.remark, noise, known_failure) if part)


def message(result: Result) -> str:
    """The whole result in one line: value, interval, n, need, reason."""
    if result.measured is None:
        return result.remark
    what = f"{result.metric} {value(result.measured, result)}"
    if is_cost(result):
        return f"{what}, need {result.need}; {reason(result)}"
    if not is_count(result):
        what += f" ({interval(result)})"
    what += f", n = {result.measured.n:,}, need {result.need}"
    return f"{what}; {reason(result)}" if reason(result) else what


def summary(results: Sequence[Result]) -> str:
    """For example, `1 FAIL, 2 UNPROVEN, 7 PASS`, the most urgent first."""
    order = (
        *(Verdict.ERROR, Verdict.FAIL, Verdict.UNPROVEN, Verdict.TOO_FEW),
        *(Verdict.XPASS, Verdict.KNOWN, Verdict.PASS),
    )
    verdicts = [result.verdict for result in results]
    return ", ".join(f"{verdicts.count(v)} {v.value}" for v in order if v in verdicts)
