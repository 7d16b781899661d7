"""Results in words and digits, as every report shows them."""

from collections.abc import Sequence

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


def is_count(result: Result) -> bool:
    """Whether the result is a number of errors."""
    return result.metric == "errors"


def is_difference(result: Result) -> bool:
    """Whether the result is a gap or a loss."""
    return result.need.startswith(("gap", "loss"))


def value(measured: Measured | None, result: Result) -> str:
    """A measured value: three digits of a share, a number of errors, a signed difference."""
    if measured is None:
        return NOTHING
    if is_count(result):
        return f"{measured.value:.0f}"
    if is_difference(result) and measured is result.measured:
        return f"{measured.value:+.3f}".replace("-", "−")
    return f"{measured.value:.3f}"


def interval(result: Result) -> str:
    """The interval of what was measured."""
    if result.measured is None or is_count(result):
        return NOTHING
    low, high = result.measured.interval
    if is_difference(result):
        return f"{low:+.3f} to {high:+.3f}".replace("-", "−")
    return f"{low:.3f}-{high:.3f}"


def bar(measured: Measured | None, result: Result) -> str:
    """A share as a bar of characters; nothing for counts."""
    if measured is None or is_count(result):
        return ""
    full = round(BAR * max(0.0, min(1.0, measured.value)))
    return "█" * full + "░" * (BAR - full)


def word(result: Result) -> str:
    """The verdict; `~` when a failure is within noise."""
    return result.verdict.value + (" ~" if result.within_noise else "")


def reason(result: Result) -> str:
    """Why the verdict is not PASS, in a line; empty where there is nothing to say."""
    known = f"known: {result.known_failure}" if result.known_failure else ""
    noise = "the interval reaches the bound: within noise" if result.within_noise else ""
    if result.verdict is Verdict.XPASS:
        known += "; it passes now, so drop known_failure"
    return "; ".join(part for part in (result.remark, noise, known) if part)


def message(result: Result) -> str:
    """One line that says all: value, interval, n, need, reason."""
    if result.measured is None:
        return result.remark
    what = f"{result.metric} {value(result.measured, result)}"
    if not is_count(result):
        what += f" ({interval(result)})"
    what += f", n = {result.measured.n:,}, need {result.need}"
    return f"{what}; {reason(result)}" if reason(result) else what


def summary(results: Sequence[Result]) -> str:
    """`1 FAIL, 2 UNPROVEN, 7 PASS`, what needs a look first."""
    order = (
        *(Verdict.ERROR, Verdict.FAIL, Verdict.UNPROVEN, Verdict.TOO_FEW),
        *(Verdict.XPASS, Verdict.KNOWN, Verdict.PASS),
    )
    verdicts = [each.verdict for each in results]
    found = [f"{verdicts.count(each)} {each.value}" for each in order if each in verdicts]
    return ", ".join(found)
