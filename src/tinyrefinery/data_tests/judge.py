"""Judge the tests of a file on what networks said: predict once, slice often."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from tinyrefinery.data_tests import verdicts
from tinyrefinery.data_tests.metric import EVERY, Count, Metric, count
from tinyrefinery.data_tests.rows import Rows
from tinyrefinery.data_tests.schema import DataTest, Suite
from tinyrefinery.data_tests.slices import choose
from tinyrefinery.data_tests.verdicts import Measured, Part, Result, Ruling, Verdict
from tinyrefinery.data_tests.where import parse
from tinyrefinery.errors import DataTestError, RefineryError
from tinyrefinery.evaluation.prediction_table import ModelPredictions
from tinyrefinery.statistics import proportions

MOST_WORST = 60
"""Rows kept of the images that speak against a network."""


@dataclass(frozen=True)
class Case:
    """One test with its class filled in, and what it is judged on."""

    name: str
    test: DataTest
    metric: Metric
    category: int | None
    chosen: np.ndarray
    """(N,) bool."""
    labels: np.ndarray
    """(N,) int64."""


def judge(
    suite: Suite,
    rows: Rows,
    answers: ModelPredictions,
    baseline: ModelPredictions | None = None,
    home: Path = Path(),
) -> list[Result]:
    """Judge every test of a file, in its order.

    A test that can't be judged is an ERROR and doesn't keep the others from being judged.

    Args:
        suite: the tests.
        rows: the data.
        answers: of the network under test.
        baseline: of the network to compare with.
        home: folder that paths in the file start from.
    """
    results = []
    for name, test in suite.tests.items():
        try:
            for case in _cases(name, test, suite, rows, home):
                results.append(_guarded(case, suite, rows, answers, baseline))
        except RefineryError as error:
            results.append(_failed(name, test, str(test.measure), error))
    return _corrected(results, suite)


def _cases(name: str, test: DataTest, suite: Suite, rows: Rows, home: Path) -> Iterator[Case]:
    """A test, or one for each class where its metric names none."""
    chosen = choose(test, suite, rows, home)
    labels = rows.labels
    if test.label is not None:
        labels = np.full(len(labels), rows.category(test.label), np.int64)
    metric = test.measure
    if metric.category != EVERY:
        number = None if metric.category is None else rows.category(metric.category)
        yield Case(name, test, metric, number, chosen, labels)
        return
    for number, category in enumerate(rows.classes):
        own = Metric(metric.name, category)
        yield Case(f"{name}[{category}]", test, own, number, chosen, labels)


def _guarded(
    case: Case,
    suite: Suite,
    rows: Rows,
    answers: ModelPredictions,
    baseline: ModelPredictions | None,
) -> Result:
    try:
        return _judged(case, suite, rows, answers, baseline)
    except RefineryError as error:
        return _failed(case.name, case.test, str(case.metric), error)


def _failed(name: str, test: DataTest, metric: str, error: RefineryError) -> Result:
    return Result(
        name=name,
        title=test.title,
        verdict=Verdict.ERROR,
        metric=metric,
        need=need(test),
        remark=str(error),
        slice=in_words(test),
        exit_code=2 if isinstance(error, DataTestError) else 3,
    )


def need(test: DataTest) -> str:
    """A test's bound in words."""
    if test.at_least is not None:
        return f">= {test.at_least:g}"
    if test.at_most is not None:
        return f"<= {test.at_most:g}"
    if test.max_gap is not None:
        return f"gap <= {test.max_gap:g}"
    return f"loss <= {test.max_regression:g}"


def in_words(test: DataTest) -> str:
    """Which images a test is about."""
    parts = [", ".join(test.images), f"in {test.list}" if test.list else "", test.where or ""]
    if test.perturb is not None:
        parts.append(f"with {test.perturb.named()}")
    return "; ".join(part for part in parts if part) or "all"


def _judged(
    case: Case,
    suite: Suite,
    rows: Rows,
    answers: ModelPredictions,
    baseline: ModelPredictions | None,
) -> Result:
    """The result of a test that can be judged.

    Raises:
        DataTestError: when it can't.
    """
    test, confidence = case.test, suite.setting(case.test, "confidence")
    counts = _count(case, answers)
    if not counts.n:
        raise DataTestError(
            f"{case.metric} counts none of {case.chosen.sum():,} images: {_none(case)}"
        )
    own = _measured(case, counts, confidence)
    theirs = None if baseline is None else _count(case, baseline)
    result = Result(
        name=case.name,
        title=test.title,
        verdict=Verdict.PASS,
        metric=str(case.metric),
        need=need(test),
        measured=own,
        baseline=_measured(case, theirs, confidence) if theirs is not None and theirs.n else None,
        slice=in_words(test),
        known_failure=test.known_failure or "",
        change_p=_change(case, counts, theirs),
    )
    if test.compare is not None:
        result, bad = _gap(case, suite, rows, counts, result)
    elif test.max_regression is not None:
        result, bad = _regression(case, suite, counts, theirs, result)
    else:
        result, bad = _bound(case, suite, counts, result)
    worst = _worst(bad, case.labels, _probabilities(case, answers))
    return replace(result, worst=tuple(worst[:MOST_WORST].tolist()), bad=len(worst))


def _change(case: Case, counts: Count, theirs: Count | None) -> float | None:
    """P value that network and baseline do equally well on these images, on its own."""
    if theirs is None or case.metric.name == "precision":  # whose images differ
        return None
    ours, base = counts.hit[counts.inside], theirs.hit[counts.inside]
    return proportions.mcnemar(int(np.sum(base & ~ours)), int(np.sum(ours & ~base)))


def _none(case: Case) -> str:
    if case.metric.name == "precision":
        return f"none was taken for '{case.metric.category}'"
    which = "is" if case.metric.name == "recall" else "is other than"
    return f"none {which} '{case.metric.category}'"


def _probabilities(case: Case, answers: ModelPredictions) -> np.ndarray:
    if case.test.perturb is None:
        return answers.probabilities
    return answers.perturbed[case.test.perturb.named()]


def _count(case: Case, answers: ModelPredictions) -> Count:
    """The metric's images and hits within the slice."""
    probabilities = _probabilities(case, answers)
    unasked = case.chosen & np.isnan(probabilities[:, 0])
    if unasked.any():
        raise DataTestError(f"{answers.name} has no predictions for {unasked.sum():,} images")
    found = count(
        case.metric,
        case.labels,
        probabilities,
        case.category,
        threshold=case.test.threshold,
        undisturbed=answers.probabilities,
    )
    return Count(found.inside & case.chosen, found.hit)


def _measured(case: Case, counts: Count, confidence: float) -> Measured:
    hits, n = counts.hits, counts.n
    if case.metric.is_count:
        return Measured(float(hits), hits, n, float(hits), float(hits))
    return Measured(hits / n, hits, n, *proportions.wilson(hits, n, confidence))


def _bad(case: Case, counts: Count) -> np.ndarray:
    """Images that speak against the network, (N,) bool."""
    return counts.inside & (~counts.hit if case.metric.more_is_better else counts.hit)


def _bound(case: Case, suite: Suite, counts: Count, result: Result) -> tuple[Result, np.ndarray]:
    """A metric against `at_least` or `at_most`."""
    test, measured = case.test, result.measured
    assert measured is not None
    bound = test.at_least if test.at_least is not None else test.at_most
    assert bound is not None
    min_n = suite.setting(test, "min_n")
    if case.metric.is_count:
        ruling = verdicts.counted(counts.hits, bound, counts.n, min_n)
    else:
        ruling = verdicts.bounded(
            measured,
            bound,
            least=test.at_least is not None,
            min_n=min_n,
            confidence=suite.setting(test, "confidence"),
        )
        ruling = _with_label_floor(ruling, suite.setting(test, "label_error"), test)
    return _ruled(result, ruling, bound), _bad(case, counts)


def _with_label_floor(ruling: Ruling, error: float | None, test: DataTest) -> Ruling:
    """A word about wrong labels, where they alone put the bound out of reach."""
    room = 1 - test.at_least if test.at_least is not None else test.at_most
    if error is None or room is None or error <= room or ruling.verdict is Verdict.PASS:
        return ruling
    word = f"about {error:.1%} of the labels are wrong, so this bound is out of a perfect "
    word += "network's reach; mend the labels of the slice first"
    return replace(ruling, remark="; ".join(filter(None, [ruling.remark, word])))


def _gap(
    case: Case, suite: Suite, rows: Rows, counts: Count, result: Result
) -> tuple[Result, np.ndarray]:
    """The pair of slices that fares worst, at a confidence that allows for the number of pairs."""
    test, confidence = case.test, suite.setting(case.test, "confidence")
    assert test.compare is not None
    assert test.max_gap is not None
    counted = {
        name: Count(counts.inside & parse(where).rows(rows.columns, rows.computable), counts.hit)
        for name, where in test.compare.items()
    }
    _check_parts(case, counted)
    pairs = list(combinations(counted, 2))
    each = 1 - (1 - confidence) / len(pairs)
    ruled = {}
    for one, two in pairs:
        measured = _difference(counted[one], counted[two], each)
        least_n = min(counted[one].n, counted[two].n)
        min_n = suite.setting(test, "min_n")
        ruled[one, two] = (
            measured,
            verdicts.gap(measured, test.max_gap, least_n=least_n, min_n=min_n),
        )
    # Not the widest gap alone: a narrow one of a small slice may be what is unproven.
    one, two = max(ruled, key=lambda pair: (_GRAVITY[ruled[pair][1].verdict], *_width(ruled[pair])))
    measured, ruling = ruled[one, two]
    remark = "; ".join(filter(None, [f"{one} minus {two}", ruling.remark]))
    parts = tuple(Part(name, _measured(case, c, confidence)) for name, c in counted.items())
    weaker = counted[one if (measured.value < 0) == case.metric.more_is_better else two]
    changed = replace(result, measured=measured, own=result.measured, parts=parts)
    return _ruled(changed, replace(ruling, remark=remark), test.max_gap), _bad(case, weaker)


_GRAVITY = {Verdict.PASS: 0, Verdict.UNPROVEN: 1, Verdict.TOO_FEW: 2, Verdict.FAIL: 3}


def _width(pair: tuple[Measured, Ruling]) -> tuple[float, float]:
    measured = pair[0]
    return abs(measured.value), proportions.largest_absolute(measured.interval)


def _difference(first: Count, second: Count, confidence: float) -> Measured:
    """Share of the first slice minus that of the second."""
    interval = proportions.newcombe((first.hits, second.hits), (first.n, second.n), confidence)
    hits, n = first.hits + second.hits, first.n + second.n
    return Measured(_share(first) - _share(second), hits, n, *interval)


def _share(counts: Count) -> float:
    return counts.hits / counts.n


def _check_parts(case: Case, counted: dict[str, Count]) -> None:
    """Refuse slices that are empty or overlap: the interval is of independent images."""
    for name, counts in counted.items():
        if not counts.n:
            raise DataTestError(f"compare.{name}: {case.metric} counts no image there")
    for one, two in combinations(counted, 2):
        shared = np.count_nonzero(counted[one].inside & counted[two].inside)
        if shared:
            raise DataTestError(f"compare: '{one}' and '{two}' share {shared:,} images")


def _regression(
    case: Case, suite: Suite, counts: Count, theirs: Count | None, result: Result
) -> tuple[Result, np.ndarray]:
    """The loss against the baseline, image by image; judged when all p values are known."""
    if theirs is None:
        raise DataTestError("max_regression needs a network to compare with: give --baseline RUN")
    inside = counts.inside
    ours, base = counts.hit[inside], theirs.hit[inside]
    if not case.metric.more_is_better:
        ours, base = ~ours, ~base
    lost, gained = int(np.sum(base & ~ours)), int(np.sum(ours & ~base))
    both = int(np.sum(ours & base))
    interval = proportions.newcombe_paired(
        both, lost, gained, len(ours) - both - lost - gained, suite.setting(case.test, "confidence")
    )
    n = counts.n
    measured = Measured((lost - gained) / n, lost, n, *interval)
    remark = f"{lost} images lost, {gained} gained"
    changed = replace(
        result,
        measured=measured,
        own=result.measured,
        p_value=proportions.mcnemar(lost, gained),
        bound=case.test.max_regression,
        remark=remark,
    )
    bad = inside.copy()
    bad[inside] = base & ~ours
    return changed, bad


def _corrected(results: list[Result], suite: Suite) -> list[Result]:
    """Results with p values that allow for their number, by which regressions are judged."""
    compared = [i for i, each in enumerate(results) if each.change_p is not None]
    changes = proportions.holm([results[i].change_p or 0.0 for i in compared])
    for i, p_value in zip(compared, changes, strict=True):
        results[i] = replace(results[i], change_p=p_value)
    tested = [i for i, each in enumerate(results) if each.p_value is not None]
    adjusted = proportions.holm([results[i].p_value or 0.0 for i in tested])
    for i, p_value in zip(tested, adjusted, strict=True):
        result, test = results[i], suite.tests[results[i].name.partition("[")[0]]
        assert result.measured is not None
        assert test.max_regression is not None
        ruling = verdicts.regression(
            result.measured,
            test.max_regression,
            p_value,
            min_n=suite.setting(test, "min_n"),
            confidence=suite.setting(test, "confidence"),
        )
        remark = "; ".join(filter(None, [result.remark, f"p = {p_value:.2g}", ruling.remark]))
        ruled = _ruled(result, replace(ruling, remark=remark), test.max_regression)
        results[i] = replace(ruled, p_value=p_value)
    return results


def _ruled(result: Result, ruling: Ruling, bound: float) -> Result:
    """A result with its verdict."""
    verdict = ruling.verdict
    if result.known_failure:
        verdict = verdicts.with_known_failure(verdict)
    return replace(
        result,
        verdict=verdict,
        within_noise=ruling.within_noise,
        remark=ruling.remark,
        bound=bound,
    )


def _worst(bad: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Rows that speak against the network, the surest mistake first."""
    rows = np.flatnonzero(bad)
    sure = probabilities[rows].max(axis=1) - probabilities[rows, labels[rows]]
    return rows[np.argsort(-sure, kind="stable")]
