"""Judging the tests of a file on a network's predictions: predict once, slice often."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from tinyrefinery.data_tests import verdicts
from tinyrefinery.data_tests.costs import Costs, judge_cost
from tinyrefinery.data_tests.data_test_file import DataTest, Suite
from tinyrefinery.data_tests.metric import EVERY, Count, Metric, count
from tinyrefinery.data_tests.rows import Rows
from tinyrefinery.data_tests.slices import choose
from tinyrefinery.data_tests.verdicts import Measured, Part, Result, Ruling, Verdict
from tinyrefinery.data_tests.where import parse
from tinyrefinery.data_tests.wording import describe_slice, need
from tinyrefinery.errors import DataTestError, RefineryError
from tinyrefinery.evaluation.prediction_table import ModelPredictions
from tinyrefinery.statistics import proportions

MOST_WORST = 60
"""Largest number of errors kept per test."""


@dataclass(frozen=True)
class Case:
    """One test with its class filled in, and its images."""

    name: str
    test: DataTest
    metric: Metric
    category: int | None
    chosen: np.ndarray
    """(N,) bool, the slice."""
    labels: np.ndarray
    """(N,) int64, from the data or the test's `label`."""


def judge(
    suite: Suite,
    rows: Rows,
    answers: ModelPredictions,
    baseline: ModelPredictions | None = None,
    home: Path = Path(),
    costs: Costs | None = None,
) -> list[Result]:
    """Judge every test of a file, in order.

    A test that can't be judged becomes an ERROR. The other tests are judged nevertheless.

    Args:
        suite: the tests.
        rows: the data.
        answers: predictions of the network under test.
        baseline: predictions of the network to compare with.
        home: folder that paths in the file are relative to.
        costs: what the network costs on a device; None: no test asks.
    """
    results = []
    for name, test in suite.tests.items():
        try:
            if test.measure.is_cost:
                result = judge_cost(name, test, costs or Costs(answers.name, missing=_NO_COSTS))
                results.append(_with_known_failure(result))
                continue
            for case in _cases(name, test, suite, rows, home):
                results.append(_judge_or_error(case, suite, rows, answers, baseline))
        except RefineryError as error:
            results.append(_error_result(name, test, str(test.measure), error))
    return _with_corrected_p_values(results, suite)


_NO_COSTS = "the cost of the network is not known here. Run: tinyrefinery test"


def _cases(name: str, test: DataTest, suite: Suite, rows: Rows, home: Path) -> Iterator[Case]:
    """The test's case, or one case per class for a metric of every class."""
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
        of_class = Metric(metric.name, category)
        yield Case(f"{name}[{category}]", test, of_class, number, chosen, labels)


def _judge_or_error(
    case: Case,
    suite: Suite,
    rows: Rows,
    answers: ModelPredictions,
    baseline: ModelPredictions | None,
) -> Result:
    try:
        return _judge(case, suite, rows, answers, baseline)
    except RefineryError as error:
        return _error_result(case.name, case.test, str(case.metric), error)


def _error_result(name: str, test: DataTest, metric: str, error: RefineryError) -> Result:
    return Result(
        name=name,
        title=test.title,
        verdict=Verdict.ERROR,
        metric=metric,
        need=need(test),
        remark=str(error),
        slice=describe_slice(test),
    )


def _judge(
    case: Case,
    suite: Suite,
    rows: Rows,
    answers: ModelPredictions,
    baseline: ModelPredictions | None,
) -> Result:
    """Judge one case.

    Raises:
        DataTestError: when it can't be judged.
    """
    test, confidence = case.test, suite.setting(case.test, "confidence")
    counts = _count(case, answers)
    if not counts.n:
        raise DataTestError(
            f"{case.metric} counts none of {case.chosen.sum():,} images: {_why_none(case)}"
        )
    base = None if baseline is None else _count(case, baseline)
    result = Result(
        name=case.name,
        title=test.title,
        verdict=Verdict.PASS,
        metric=str(case.metric),
        need=need(test),
        measured=_measured(case, counts, confidence),
        baseline=_measured(case, base, confidence) if base is not None and base.n else None,
        slice=describe_slice(test),
        known_failure=test.known_failure or "",
        change_p=_change_p(case, counts, base),
    )
    if test.compare is not None:
        result, errors = _gap(case, suite, rows, counts, result)
    elif test.max_regression is not None:
        result, errors = _regression(case, suite, counts, base, result)
    else:
        result, errors = _bound(case, suite, counts, result)
    worst = _worst_first(errors, case.labels, _probabilities(case, answers))
    return replace(result, worst=tuple(worst[:MOST_WORST].tolist()), bad=len(worst))


def _change_p(case: Case, counts: Count, baseline: Count | None) -> float | None:
    """P value, not yet corrected, that network and baseline are equally good on these images."""
    if baseline is None or case.metric.name == "precision":  # whose images differ
        return None
    ours, base = counts.hit[counts.inside], baseline.hit[counts.inside]
    return proportions.mcnemar(int(np.sum(base & ~ours)), int(np.sum(ours & ~base)))


def _why_none(case: Case) -> str:
    if case.metric.name == "precision":
        return f"none is predicted as '{case.metric.category}'"
    which = "none" if case.metric.name == "recall" else "every image"
    return f"{which} is labeled '{case.metric.category}'"


def _probabilities(case: Case, answers: ModelPredictions) -> np.ndarray:
    if case.test.perturb is None:
        return answers.probabilities
    return answers.perturbed[case.test.perturb.named()]


def _count(case: Case, answers: ModelPredictions) -> Count:
    """The metric's images and hits within the slice."""
    probabilities = _probabilities(case, answers)
    missing = case.chosen & np.isnan(probabilities[:, 0])
    if missing.any():
        raise DataTestError(f"{answers.name} has no predictions for {missing.sum():,} images")
    counts = count(
        case.metric,
        case.labels,
        probabilities,
        case.category,
        threshold=case.test.threshold,
        unchanged=answers.probabilities,
    )
    return Count(counts.inside & case.chosen, counts.hit)


def _measured(case: Case, counts: Count, confidence: float) -> Measured:
    hits, n = counts.hits, counts.n
    if case.metric.is_count:
        return Measured(float(hits), hits, n, float(hits), float(hits))
    return Measured(hits / n, hits, n, *proportions.wilson(hits, n, confidence))


def _errors(case: Case, counts: Count) -> np.ndarray:
    """Images that lower the metric, (N,) bool."""
    return counts.inside & (~counts.hit if case.metric.more_is_better else counts.hit)


def _bound(case: Case, suite: Suite, counts: Count, result: Result) -> tuple[Result, np.ndarray]:
    """Judge a metric by `at_least` or `at_most`."""
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
        ruling = _with_label_note(ruling, suite.setting(test, "label_error"), test)
    return _with_ruling(result, ruling, bound), _errors(case, counts)


def _with_label_note(ruling: Ruling, error: float | None, test: DataTest) -> Ruling:
    """Add a note if wrong labels alone make the bound unreachable."""
    room = 1 - test.at_least if test.at_least is not None else test.at_most
    if error is None or room is None or error <= room or ruling.verdict is Verdict.PASS:
        return ruling
    note = f"about {error:.1%} of the labels are wrong, so not even a perfect network reaches this "
    note += "bound: fix the labels of the slice first"
    return replace(ruling, remark="; ".join(filter(None, [ruling.remark, note])))


def _gap(
    case: Case, suite: Suite, rows: Rows, counts: Count, result: Result
) -> tuple[Result, np.ndarray]:
    """Judge the pair of slices with the worst verdict, at a confidence corrected for all pairs."""
    test, confidence = case.test, suite.setting(case.test, "confidence")
    assert test.compare is not None
    assert test.max_gap is not None
    slices = {
        name: Count(counts.inside & parse(where).rows(rows.columns, rows.computable), counts.hit)
        for name, where in test.compare.items()
    }
    _check_slices(case, slices)
    pairs = [p for p in combinations(slices, 2) if test.not_worse is None or test.not_worse in p]
    pair_confidence = 1 - (1 - confidence) / len(pairs)  # Bonferroni
    min_n = suite.setting(test, "min_n")
    rulings = {}
    for a, b in pairs:
        measured = _difference(slices[a], slices[b], pair_confidence)
        least_n = min(slices[a].n, slices[b].n)
        size = verdicts.gap_size(measured, _worse_sign(case, a))
        ruling = verdicts.gap(size, test.max_gap, least_n=least_n, min_n=min_n)
        rulings[a, b] = measured, size, ruling
    # By verdict, then by width: a narrow gap to a small slice may be the unproven one.
    a, b = max(rulings, key=lambda p: (_SEVERITY[rulings[p][2].verdict], *rulings[p][1][1:]))
    measured, _, ruling = rulings[a, b]
    rule = "" if test.not_worse is None else f"only a loss of {test.not_worse} counts"
    remark = "; ".join(filter(None, [f"{a} minus {b}", rule, ruling.remark]))
    parts = tuple(Part(name, _measured(case, c, confidence)) for name, c in slices.items())
    weaker = slices[a if (measured.value < 0) == case.metric.more_is_better else b]
    result = replace(result, measured=measured, own=result.measured, parts=parts)
    ruling = replace(ruling, remark=remark)
    return _with_ruling(result, ruling, test.max_gap), _errors(case, weaker)


_SEVERITY = {Verdict.PASS: 0, Verdict.UNPROVEN: 1, Verdict.TOO_FEW: 2, Verdict.FAIL: 3}


def _worse_sign(case: Case, first: str) -> int:
    """The sign of a difference, `first` minus another part, that is a loss; 0 for both signs."""
    if case.test.not_worse is None:
        return 0
    return -1 if (first == case.test.not_worse) == case.metric.more_is_better else 1


def _difference(first: Count, second: Count, confidence: float) -> Measured:
    """Share of the first slice minus share of the second, with its interval."""
    interval = proportions.newcombe((first.hits, second.hits), (first.n, second.n), confidence)
    hits, n = first.hits + second.hits, first.n + second.n
    return Measured(_share(first) - _share(second), hits, n, *interval)


def _share(counts: Count) -> float:
    return counts.hits / counts.n


def _check_slices(case: Case, slices: dict[str, Count]) -> None:
    """Reject slices that are empty or overlap: the interval assumes independent images."""
    for name, counts in slices.items():
        if not counts.n:
            raise DataTestError(f"compare.{name}: {case.metric} counts no image of this slice")
    for a, b in combinations(slices, 2):
        shared = np.count_nonzero(slices[a].inside & slices[b].inside)
        if shared:
            raise DataTestError(f"compare: '{a}' and '{b}' share {shared:,} images")


def _regression(
    case: Case, suite: Suite, counts: Count, baseline: Count | None, result: Result
) -> tuple[Result, np.ndarray]:
    """Measure the loss against the baseline, image by image.

    The verdict follows in `_with_corrected_p_values`, when the p values of all tests are known.
    """
    if baseline is None:
        raise DataTestError("max_regression needs a network to compare with: give --baseline RUN")
    inside = counts.inside
    ours, base = counts.hit[inside], baseline.hit[inside]
    if not case.metric.more_is_better:
        ours, base = ~ours, ~base
    lost, gained = int(np.sum(base & ~ours)), int(np.sum(ours & ~base))
    both = int(np.sum(ours & base))
    interval = proportions.newcombe_paired(
        both, lost, gained, len(ours) - both - lost - gained, suite.setting(case.test, "confidence")
    )
    n = counts.n
    measured = Measured((lost - gained) / n, lost, n, *interval)
    result = replace(
        result,
        measured=measured,
        own=result.measured,
        p_value=proportions.mcnemar(lost, gained),
        bound=case.test.max_regression,
        remark=f"{lost} images lost, {gained} gained",
    )
    errors = inside.copy()
    errors[inside] = base & ~ours
    return result, errors


def _with_corrected_p_values(results: list[Result], suite: Suite) -> list[Result]:
    """Correct p values for the number of tests (Holm), then judge the regressions."""
    compared = [i for i, result in enumerate(results) if result.change_p is not None]
    corrected = proportions.holm([results[i].change_p or 0.0 for i in compared])
    for i, p_value in zip(compared, corrected, strict=True):
        results[i] = replace(results[i], change_p=p_value)
    regressions = [i for i, result in enumerate(results) if result.p_value is not None]
    corrected = proportions.holm([results[i].p_value or 0.0 for i in regressions])
    for i, p_value in zip(regressions, corrected, strict=True):
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
        result = replace(result, p_value=p_value)
        results[i] = _with_ruling(result, replace(ruling, remark=remark), test.max_regression)
    return results


def _with_known_failure(result: Result) -> Result:
    if not result.known_failure:
        return result
    return replace(result, verdict=verdicts.with_known_failure(result.verdict))


def _with_ruling(result: Result, ruling: Ruling, bound: float) -> Result:
    result = _with_known_failure(replace(result, verdict=ruling.verdict))
    return replace(
        result,
        within_noise=ruling.within_noise,
        remark=ruling.remark,
        bound=bound,
    )


def _worst_first(errors: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Rows of the errors (N,) bool, the most confident error first."""
    rows = np.flatnonzero(errors)
    confidence = probabilities[rows].max(axis=1) - probabilities[rows, labels[rows]]
    return rows[np.argsort(-confidence, kind="stable")]
