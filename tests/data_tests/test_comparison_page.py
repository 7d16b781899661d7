"""The page of several networks: which tests moved, told by hand-made results."""

import re

from tests.data_tests.cases import answers, rows, suite
from tests.data_tests.test_reporters import DATA, EVIL, FACTS, PATHS
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.reports import comparison_page
from tinyrefinery.data_tests.reports.folding import folded, lines

TESTS = {
    "up": {"images": "rooms", "at_least": 0.9},
    "down": {"images": "coats", "at_least": 0.9},
    "same": {"at_least": 0.1, "title": EVIL},
    "gap": {"compare": {"a": "d = 0", "b": "d = 1"}, "max_gap": 0.9},
    "counted": {"metric": "errors", "at_most": 3},
}
ROOMS, COATS = ([i for i in range(400) if (i % 4 == 0) == coat] for coat in (False, True))
BEFORE, AFTER = answers(DATA, ROOMS[:90]), answers(DATA, COATS[:60])
JUDGED = [judge(suite(TESTS), DATA, each, BEFORE) for each in (BEFORE, AFTER)]


def test_what_moved():
    assert [last.name for _, last in comparison_page.changed(JUDGED)] == ["up", "down"]
    told = comparison_page.headline(JUDGED)
    assert told == "2 of 5 verdicts changed: 1 FAIL to PASS, 1 PASS to FAIL"
    assert comparison_page.headline(JUDGED[:1]) == "No verdict of 5 tests changed"


def test_the_page():
    html = comparison_page.render(FACTS, ["before", EVIL], lines(JUDGED), "2 of 5 verdicts changed")
    assert html.count('<tr class="changed">') == 2
    assert EVIL not in html
    assert not re.search(r"https?://|<script", html)
    assert "(+0.300*)" in html
    assert "(−0.600*)" in html
    assert "(−30)" in html
    assert html.count('class="track own"') == 3 * 2  # none of counts
    assert PATHS[0] not in html


def test_the_page_folds_classes_as_the_terminal_does():
    data = rows(2000, tuple(f"c{i:02d}" for i in range(100)))
    ones = [answers(data, wrong) for wrong in ((), range(3, 2000, 100))]
    each = suite({"each": {"metric": "recall(*)", "at_least": 0.5, "min_n": 10}})
    judged = [judge(each, data, one, ones[0]) for one in ones]
    short, long = (
        comparison_page.render(FACTS, ["a", "b"], f(judged), "") for f in (folded, lines)
    )
    assert (short.count('<th scope="row">'), long.count('<th scope="row">')) == (2, 100)
    assert "each[c03]" in short
    assert "weakest of 99 that pass in each network" in short
    assert "weakest" not in long
