"""Which lines the terminal shows of tests of many classes."""

import numpy as np
import pytest

from tests.data_tests.cases import answers, rows, suite
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.reports.folding import Line, folded, lines

CLASSES = tuple(f"c{i:02d}" for i in range(20))
DATA = rows(2000, CLASSES, d=[float(i // 20 % 2) for i in range(2000)])


def judged(test, wrong=(), base=()):
    tests = {"all": {"at_least": 0.1}, "each": test, "last": {"at_least": 0.1}}
    return judge(suite(tests), DATA, answers(DATA, wrong), answers(DATA, base))


def wrong_of(category, count):
    return np.flatnonzero(DATA.labels == category)[:count].tolist()


def names(shown):
    return [(each.result.name, each.folded) for each in shown]


def test_passes_of_one_test_are_one_line_and_failures_stay():
    wrong = wrong_of(3, 40) + wrong_of(7, 10) + wrong_of(8, 18)
    results = judged({"metric": "recall(*)", "at_least": 0.8}, wrong)
    verdicts = {each.name: each.verdict for each in results}
    assert (verdicts["each[c03]"], verdicts["each[c08]"]) == ("FAIL", "UNPROVEN")
    assert names(folded([results])) == [
        ("all", 1),
        ("each[c03]", 1),
        ("each[c07]", 18),  # .90, the others that pass have 1
        ("each[c08]", 1),
        ("last", 1),
    ]


@pytest.mark.parametrize(
    ("test", "wrong", "least"),
    [
        ({"metric": "recall(*)", "at_least": 0.5}, wrong_of(4, 9), "each[c04]"),
        # a wrong image is called the next class
        ({"metric": "false_positive_rate(*)", "at_most": 0.2}, wrong_of(4, 9), "each[c05]"),
        ({"metric": "precision(*)", "at_least": 0.5}, wrong_of(4, 9), "each[c05]"),
        (
            {
                "metric": "recall(*)",
                "max_gap": 0.5,
                "min_n": 10,
                "compare": {"one": "d = 0", "two": "d = 1"},
            },
            [row for row in wrong_of(4, 20) if row // 20 % 2],
            "each[c04]",
        ),
        ({"metric": "recall(*)", "max_regression": 0.2}, wrong_of(4, 5), "each[c04]"),
    ],
)
def test_the_least_sure_is_nearest_to_its_bound(test, wrong, least):
    results = judged(test, wrong)
    assert {each.verdict for each in results} == {"PASS"}
    assert names(folded([results])) == [("all", 1), (least, 20), ("last", 1)]


def test_a_few_classes_stay_as_they_are():
    data = rows(400, ("a", "b", "c"))
    results = judge(suite({"each": {"metric": "recall(*)", "at_least": 0.5}}), data, answers(data))
    assert folded([results]) == lines([results]) == [Line((each,)) for each in results]
    assert folded([[]]) == []
    assert folded([]) == []


RECALLS = {"metric": "recall(*)", "at_least": 0.5}


def test_of_two_networks_only_what_both_pass_is_folded():
    """A class that one of them fails, or does otherwise by more than chance, has its line."""
    first = wrong_of(3, 60) + wrong_of(5, 25)
    second = wrong_of(4, 60) + wrong_of(6, 30) + wrong_of(7, 24)
    judged_ = [judged(RECALLS, wrong, first) for wrong in (first, second)]
    changed = {each.name for each in judged_[1] if (each.change_p or 1) < 0.05}
    assert {f"each[c0{i}]" for i in (3, 4, 5, 6, 7)} == changed  # c05, c06, c07 pass in both
    shown = names(folded(judged_))
    quiet = next(name for name, count in shown if count > 1)
    assert (quiet, 15) in shown
    assert [name for name, count in shown if count == 1] == [
        *("all", "each[c03]", "each[c04]", "each[c05]", "each[c06]", "each[c07]", "last")
    ]
    # Each network on its own hides what it passes.
    assert len(folded(judged_[:1])) == len(folded(judged_[1:])) == 4


def test_the_least_sure_of_several_networks_is_by_the_worst_of_them():
    first, second = wrong_of(4, 5), wrong_of(9, 8)
    judged_ = [judged(RECALLS, wrong, first) for wrong in (first, second)]
    (line,) = [each for each in folded(judged_) if each.folded > 1]
    assert (line.result.name, line.folded) == ("each[c09]", 20)
    assert line.note == "weakest of 20 that pass in each network"
    assert [each.measured.hits for each in line.results] == [100, 92]
