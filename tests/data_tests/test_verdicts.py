"""Every verdict, and what the command ends with."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data_tests.cases import answers, rows, suite
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.verdicts import Result, Verdict, exit_code
from tinyrefinery.statistics.proportions import wilson

ROWS = rows()


def one(test, wrong=(), **rest):
    """The result of a single test."""
    (result,) = judge(suite({"it": test}, **rest), ROWS, answers(ROWS, wrong))
    return result


@pytest.mark.parametrize(
    ("wrong", "bound", "verdict", "noise"),
    [
        (10, 0.90, "PASS", False),  # 0.975, interval from 0.954
        (40, 0.90, "UNPROVEN", False),  # 0.900, from 0.867
        (45, 0.90, "FAIL", True),  # 0.8875, to 0.915
        (80, 0.90, "FAIL", False),  # 0.800, to 0.836
        (0, 1.00, "UNPROVEN", False),
    ],
)
def test_at_least(wrong, bound, verdict, noise):
    result = one({"at_least": bound}, range(wrong))
    assert (result.verdict, result.within_noise) == (verdict, noise)
    assert result.measured.n == 400
    assert result.measured.value == 1 - wrong / 400
    assert result.measured.interval == wilson(400 - wrong, 400)
    assert result.bad == wrong


@pytest.mark.parametrize(
    ("wrong", "bound", "verdict"),
    [(2, 0.05, "PASS"), (8, 0.05, "UNPROVEN"), (12, 0.05, "FAIL"), (40, 0.05, "FAIL")],
)
def test_at_most(wrong, bound, verdict):
    negatives = range(0, 2 * wrong, 2)
    test = {"metric": "false_positive_rate(person)", "at_most": bound}
    result = one(test, negatives)
    assert result.verdict == verdict
    assert result.measured.n == 200
    assert set(result.worst) <= set(negatives)


def test_unproven_says_how_many_images_more():
    few = rows(61)
    (result,) = judge(suite({"it": {"at_least": 0.9}}), few, answers(few, range(3)))
    assert result.verdict is Verdict.UNPROVEN
    assert "23 more images without an error or 73 at this rate would prove it" in result.remark


def test_unproven_at_most_is_the_mirror_of_at_least():
    """3 of 61 wrong against at most 0.1 is 58 of 61 right against at least 0.9."""
    classes, few = ("no_person", "person"), rows(61, label=[0] * 61)
    test = {"metric": "false_positive_rate(person)", "at_most": 0.1}
    (result,) = judge(suite({"it": test}), few, answers(few, range(3)))
    assert result.verdict is Verdict.UNPROVEN, classes
    assert "23 more images without an error or 73 at this rate" in result.remark


def test_too_few():
    few = rows(12)
    for wrong in (0, 2):
        (result,) = judge(suite({"it": {"at_least": 0.9}}), few, answers(few, range(wrong)))
        assert (result.verdict, result.remark) == (Verdict.TOO_FEW, "12 of 50 images")


def test_few_images_can_still_refute():
    few = rows(12)
    (result,) = judge(suite({"it": {"at_least": 0.9}}), few, answers(few, range(10)))
    assert result.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("wrong", "verdict"), [(0, "XPASS"), (40, "KNOWN"), (45, "KNOWN"), (400, "KNOWN")]
)
def test_known_failure(wrong, verdict):
    result = one({"at_least": 0.9, "known_failure": "not promised yet"}, range(wrong))
    assert result.verdict == verdict
    assert result.known_failure == "not promised yet"


def test_a_known_failure_that_can_not_be_judged_is_an_error():
    result = one({"where": "lable = 'x'", "at_least": 0.9, "known_failure": "so"})
    assert result.verdict is Verdict.ERROR


@pytest.mark.parametrize(("wrong", "verdict"), [(0, "PASS"), (3, "PASS"), (4, "FAIL")])
def test_errors_are_counted(wrong, verdict):
    result = one({"metric": "errors", "at_most": 3}, range(wrong))
    assert result.verdict == verdict
    assert result.measured.value == wrong


def test_errors_of_few_images():
    result = one({"images": ["photos/coats/0000.jpg"], "metric": "errors", "at_most": 0})
    assert result.verdict is Verdict.TOO_FEW
    result = one({"images": "photos/coats/0000.jpg", "metric": "errors", "at_most": 0, "min_n": 1})
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("wrong", "error", "told"), [(20, 0.06, True), (20, 0.04, False), (0, 0.06, False)]
)
def test_the_floor_that_wrong_labels_set(wrong, error, told):
    result = one({"at_least": 0.95, "label_error": error}, range(wrong))
    assert ("of the labels are wrong" in result.remark) == told


def result_of(verdict):
    return Result("it", "", verdict, "accuracy", ">= 0.9")


@pytest.mark.parametrize(
    ("verdict", "default", "release"),
    [
        (Verdict.PASS, 0, 0),
        (Verdict.UNPROVEN, 0, 1),
        (Verdict.FAIL, 1, 1),
        (Verdict.TOO_FEW, 0, 1),
        (Verdict.KNOWN, 0, 0),
        (Verdict.XPASS, 0, 0),
    ],
)
def test_exit_codes(verdict, default, release):
    results = [result_of(Verdict.PASS), result_of(verdict)]
    assert exit_code(results, release=False) == default
    assert exit_code(results, release=True) == release


def test_an_error_outranks_a_failure():
    results = [result_of(Verdict.FAIL), result_of(Verdict.ERROR)]
    assert exit_code(results, release=False) == 2
    assert exit_code([], release=True) == 0


@given(st.integers(1, 400), st.data(), st.floats(0, 1))
def test_a_verdict_follows_from_value_interval_and_bound(n, data, bound):
    hits = data.draw(st.integers(0, n))
    few = rows(n)
    test = {"at_least": bound, "min_n": 1}
    (result,) = judge(suite({"it": test}), few, answers(few, range(n - hits)))
    low, high = wilson(hits, n)
    expected = (
        Verdict.PASS if low >= bound else Verdict.FAIL if hits / n < bound else Verdict.UNPROVEN
    )
    assert result.verdict is expected
    assert result.within_noise == (expected is Verdict.FAIL and high >= bound)


def test_better_never_gets_a_worse_verdict():
    order = [Verdict.FAIL, Verdict.UNPROVEN, Verdict.PASS]
    for n, bound in itertools.product((50, 100, 400), (0.5, 0.9, 0.99)):
        few = rows(n)
        places = []
        for wrong in range(n, -1, -max(1, n // 50)):
            (result,) = judge(suite({"it": {"at_least": bound}}), few, answers(few, range(wrong)))
            places.append(order.index(result.verdict))
        assert places == sorted(places)
