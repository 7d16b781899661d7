"""Verdicts of data tests: rules for a value, its interval and a bound."""

from dataclasses import dataclass, field
from enum import StrEnum

from tinyrefinery.errors import RefineryError
from tinyrefinery.statistics.proportions import (
    Interval,
    images_to_prove,
    largest_absolute,
    smallest_absolute,
)

LEVEL = 0.05
"""A difference between two networks is significant below this p value."""
ROUNDING = 1e-12
"""Rounding error of a computed difference."""


class Verdict(StrEnum):
    """The verdict on a test."""

    PASS = "PASS"
    """The whole interval meets the bound."""
    UNPROVEN = "UNPROVEN"
    """The value meets the bound, but not the whole interval."""
    FAIL = "FAIL"
    """The value misses the bound."""
    TOO_FEW = "TOO FEW"
    """Too few images for a verdict."""
    KNOWN = "KNOWN"
    """Does not pass, as expected."""
    XPASS = "XPASS"
    """Passes unexpectedly."""
    ERROR = "ERROR"
    """Can't be judged."""


@dataclass(frozen=True)
class Measured:
    """A share or a number of errors, with its interval."""

    value: float
    hits: int
    n: int
    low: float
    high: float

    @property
    def interval(self) -> Interval:
        """Both ends."""
        return self.low, self.high


@dataclass(frozen=True)
class Part:
    """One of the slices of a gap."""

    name: str
    measured: Measured


@dataclass(frozen=True)
class Ruling:
    """A verdict with its reasons."""

    verdict: Verdict
    within_noise: bool = False
    """The verdict is FAIL, but the interval includes values that would pass."""
    remark: str = ""


@dataclass(frozen=True)
class Result:
    """One judged test."""

    name: str
    title: str
    verdict: Verdict
    metric: str
    need: str
    """The bound, e.g. `>= 0.9`."""
    within_noise: bool = False
    measured: Measured | None = None
    """The metric; the difference for gaps and regressions."""
    own: Measured | None = None
    """The network's metric where `measured` is a difference."""
    baseline: Measured | None = None
    """The baseline network's metric."""
    parts: tuple[Part, ...] = ()
    """The slices of a gap."""
    p_value: float | None = None
    """McNemar's p value of a regression, corrected for the number of regression tests (Holm)."""
    change_p: float | None = None
    """McNemar's p value of the difference between network and baseline on these images, corrected
    for the number of tests in the file (Holm). None without a comparison."""
    bound: float | None = None
    remark: str = ""
    slice: str = ""
    """The images, as text."""
    known_failure: str = ""
    worst: tuple[int, ...] = field(default=(), repr=False)
    """Rows of the errors, the most confident first, up to a limit."""
    bad: int = 0
    """Number of errors."""

    @property
    def shown(self) -> Measured | None:
        """The network's metric, comparable to the baseline's."""
        return self.own or self.measured

    @property
    def change_is_shown(self) -> bool:
        """Whether network and baseline differ significantly. Gaps are not tested."""
        return self.change_p is not None and self.change_p < LEVEL and not self.parts


def bounded(
    measured: Measured, bound: float, *, least: bool, min_n: int, confidence: float
) -> Ruling:
    """Judge a share by `at_least` (`least`) or `at_most`."""
    low, high = measured.interval
    good = measured.value >= bound if least else measured.value <= bound
    proven = low >= bound if least else high <= bound
    refuted = high < bound if least else low > bound
    if measured.n < min_n and not refuted:
        return Ruling(Verdict.TOO_FEW, remark=f"{measured.n} of {min_n} images")
    if proven:
        return Ruling(Verdict.PASS)
    if not good:
        return Ruling(Verdict.FAIL, not refuted)
    hits = measured.hits if least else measured.n - measured.hits
    target = bound if least else 1 - bound
    return Ruling(Verdict.UNPROVEN, remark=_images_needed(hits, measured.n, target, confidence))


def _images_needed(hits: int, n: int, bound: float, confidence: float) -> str:
    """How many more images would prove a bound."""
    faultless = images_to_prove(hits, n, bound, confidence=confidence, faultless=True)
    at_rate = images_to_prove(hits, n, bound, confidence=confidence, faultless=False)
    if faultless is None:
        return "no number of images can prove it"
    counts = [f"{faultless:,} more image{'' if faultless == 1 else 's'} without an error"]
    if hits < n:
        counts.append(f"{'no number' if at_rate is None else f'{at_rate:,}'} at this rate")
    return f"{' or '.join(counts)} would prove it"


def gap_size(measured: Measured, worse_sign: int) -> tuple[float, float, float]:
    """Smallest, measured and largest size of a difference.

    Args:
        measured: the difference of two slices.
        worse_sign: 1 or -1 if only differences of this sign count, 0 if both do.
    """
    if worse_sign == 0:
        interval = measured.interval
        return smallest_absolute(interval), abs(measured.value), largest_absolute(interval)
    low, high = sorted(worse_sign * end for end in measured.interval)
    return low, worse_sign * measured.value, high


def gap(size: tuple[float, float, float], bound: float, *, least_n: int, min_n: int) -> Ruling:
    """Judge the difference of two slices.

    Args:
        size: from `gap_size`.
        bound: largest size that passes.
        least_n: images in the smaller slice.
        min_n: images that each slice needs.
    """
    smallest, value, largest = size
    refuted = smallest > bound
    # A difference of two shares is rounded: .8 - .7 is slightly more than .1.
    wide = value > bound + ROUNDING
    if least_n < min_n and not refuted:
        return Ruling(Verdict.TOO_FEW, remark=f"{least_n} of {min_n} images in the smaller slice")
    if largest <= bound:
        return Ruling(Verdict.PASS)
    if wide:
        return Ruling(Verdict.FAIL, not refuted)
    return Ruling(Verdict.UNPROVEN, remark="more images of each slice would narrow the interval")


def regression(
    loss: Measured, bound: float, p_value: float, *, min_n: int, confidence: float
) -> Ruling:
    """Judge a loss against a baseline on the same images. Positive is worse.

    It fails only if McNemar's test shows a significant difference, since of two equally good
    networks one is always slightly worse on a slice. With a bound of zero, any loss that is not
    significant passes, if the value is not above the bound. With a bound above zero, the whole
    interval must be below it.
    """
    differs = p_value < 1 - confidence
    if loss.n < min_n and not (loss.value > bound and differs):
        return Ruling(Verdict.TOO_FEW, remark=f"{loss.n} of {min_n} images")
    if loss.value > bound:
        if differs:
            return Ruling(Verdict.FAIL, loss.low <= bound)
        return Ruling(Verdict.UNPROVEN, remark="worse, but the difference may be chance")
    if bound == 0 or loss.high <= bound:
        return Ruling(Verdict.PASS)
    return Ruling(Verdict.UNPROVEN, remark="the interval of the loss exceeds the bound")


def counted(errors: int, bound: float, n: int, min_n: int) -> Ruling:
    """Judge a number of errors."""
    if errors > bound:
        return Ruling(Verdict.FAIL)
    if n < min_n:
        return Ruling(Verdict.TOO_FEW, remark=f"{n} of {min_n} images")
    return Ruling(Verdict.PASS)


def with_known_failure(verdict: Verdict) -> Verdict:
    """The verdict of a test that is known to fail."""
    if verdict is Verdict.ERROR:
        return verdict
    return Verdict.XPASS if verdict is Verdict.PASS else Verdict.KNOWN


def exit_code(results: list[Result] | tuple[Result, ...], *, release: bool) -> int:
    """The command's exit code.

    0: success. 1: a test failed, or with `release` is unproven. 2: a test can't be judged.
    """
    if any(result.verdict is Verdict.ERROR for result in results):
        return RefineryError.exit_code
    failing = {Verdict.FAIL, *((Verdict.UNPROVEN, Verdict.TOO_FEW) if release else ())}
    return int(any(result.verdict in failing for result in results))
