"""Verdicts: what a value, its interval and a bound say about a slice."""

from dataclasses import dataclass, field
from enum import StrEnum

from tinyrefinery.statistics.proportions import (
    Interval,
    images_to_prove,
    largest_absolute,
    smallest_absolute,
)

LEVEL = 0.05
"""Below this p value a change against another network is shown."""
ROUNDING = 1e-12
"""By which a computed difference may miss its exact value."""


class Verdict(StrEnum):
    """The word that stands before a test."""

    PASS = "PASS"
    """The interval lies on the right side of the bound."""
    UNPROVEN = "UNPROVEN"
    """The value does, the interval doesn't."""
    FAIL = "FAIL"
    """The value lies on the wrong side."""
    TOO_FEW = "TOO FEW"
    """Too few images to say anything."""
    KNOWN = "KNOWN"
    """Doesn't pass, as expected."""
    XPASS = "XPASS"
    """Passes, though it was expected not to."""
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
    """One of the slices whose gap is measured."""

    name: str
    measured: Measured


@dataclass(frozen=True)
class Ruling:
    """A verdict with its reasons."""

    verdict: Verdict
    within_noise: bool = False
    """Of a FAIL: the interval still holds values that would pass."""
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
    """The metric of the network itself where `measured` is a difference."""
    baseline: Measured | None = None
    """The metric of the baseline network."""
    parts: tuple[Part, ...] = ()
    """Of a gap: each slice."""
    p_value: float | None = None
    """Of a regression: McNemar's, corrected for the number of regression tests (Holm)."""
    change_p: float | None = None
    """That chance alone makes the network and the baseline differ so on these images: McNemar's,
    corrected for the number of tests in the file (Holm). None where they aren't compared."""
    bound: float | None = None
    remark: str = ""
    slice: str = ""
    """Which images, in words."""
    known_failure: str = ""
    worst: tuple[int, ...] = field(default=(), repr=False)
    """Rows of the images that speak against the network, the worst first."""
    bad: int = 0
    """How many such images there are."""
    exit_code: int = 0
    """What the test asks the command to end with."""

    @property
    def shown(self) -> Measured | None:
        """The network's own metric, to be drawn beside the baseline's."""
        return self.own or self.measured

    @property
    def change_is_shown(self) -> bool:
        """Whether network and baseline differ by more than chance; of a gap nothing is tested."""
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
    return Ruling(Verdict.UNPROVEN, remark=_what_proves(hits, measured.n, target, confidence))


def _what_proves(hits: int, n: int, bound: float, confidence: float) -> str:
    """How many images more would prove a bound."""
    clean = images_to_prove(hits, n, bound, confidence=confidence, faultless=True)
    steady = images_to_prove(hits, n, bound, confidence=confidence, faultless=False)
    if clean is None:
        return "no number of images can prove it"
    ways = [f"{clean:,} more image{'' if clean == 1 else 's'} without an error"]
    if hits < n:
        at_rate = "no number" if steady is None else f"{steady:,}"
        ways.append(f"{at_rate} at this rate")
    return f"{' or '.join(ways)} would prove it"


def gap(measured: Measured, bound: float, *, least_n: int, min_n: int) -> Ruling:
    """Judge the difference of two slices; `least_n` is the size of the smaller one."""
    refuted = smallest_absolute(measured.interval) > bound
    # A difference of two shares is rounded: .8 - .7 comes out above .1.
    wide = abs(measured.value) > bound + ROUNDING
    if least_n < min_n and not refuted:
        return Ruling(Verdict.TOO_FEW, remark=f"{least_n} of {min_n} images in the smaller slice")
    if largest_absolute(measured.interval) <= bound:
        return Ruling(Verdict.PASS)
    if wide:
        return Ruling(Verdict.FAIL, not refuted)
    return Ruling(Verdict.UNPROVEN, remark="more images of each slice narrow the interval")


def regression(
    loss: Measured, bound: float, p_value: float, *, min_n: int, confidence: float
) -> Ruling:
    """Judge a loss against a baseline on the same images; positive is worse.

    It fails only when McNemar's test shows that the networks differ: of two equally good networks
    one is always a little worse on a given slice. A bound of zero guards against shown losses; one
    above zero is a promise, which takes an interval below it.
    """
    differs = p_value < 1 - confidence
    if loss.n < min_n and not (loss.value > bound and differs):
        return Ruling(Verdict.TOO_FEW, remark=f"{loss.n} of {min_n} images")
    if loss.value > bound:
        if differs:
            return Ruling(Verdict.FAIL, loss.low <= bound)
        return Ruling(Verdict.UNPROVEN, remark="worse, but by no more than chance may do")
    if bound == 0 or loss.high <= bound:
        return Ruling(Verdict.PASS)
    return Ruling(Verdict.UNPROVEN, remark="the interval of the loss reaches beyond the bound")


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
    """What the command ends with.

    0 fine; 1 a test failed, or with `release` isn't proven; 2 the file of tests is wrong; 3 data or
    network can't be read.
    """
    errors = [each.exit_code for each in results if each.verdict is Verdict.ERROR]
    if errors:
        return max(errors)
    failing = {Verdict.FAIL, *((Verdict.UNPROVEN, Verdict.TOO_FEW) if release else ())}
    return int(any(each.verdict in failing for each in results))
