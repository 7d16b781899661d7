"""Reports: JUnit by its structure, JSON, tables, and a page that loads nothing and stays small."""

import json
import re
from base64 import b64decode
from functools import cache
from io import BytesIO
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len
from rich.console import Console

from tests.data_tests.cases import answers, rows, suite
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.reports import page, records, terminal, texts
from tinyrefinery.data_tests.reports.folding import Line, lines
from tinyrefinery.data_tests.reports.junit import junit
from tinyrefinery.data_tests.reports.records import Facts
from tinyrefinery.errors import DataError
from tinyrefinery.pages import inline
from tinyrefinery.pages.inline import thumbnail

EVIL = "<script>alert(1)</script>"
DATA = rows(400, ("no_person", EVIL), d=[float(i % 2) for i in range(400)])
PATHS = DATA.columns.column("path").to_pylist()
TESTS = {
    "passes": {"at_least": 0.5},
    "unproven": {"at_least": 0.88},
    "fails": {"at_least": 0.99},
    "near": {"at_least": 0.91, "title": f"{EVIL} & more"},
    "few": {"images": "0000.jpg", "at_least": 0.5},
    "known": {"at_least": 0.99, "known_failure": "until <next> week"},
    "xpass": {"at_least": 0.5, "known_failure": "no longer"},
    "broken": {"where": "lable = 'x'", "at_least": 0.5},
    "gap": {"compare": {"a": "d = 0", "b": "d = 1"}, "max_gap": 0.01},
    "worse": {"max_regression": 0.0},
    "counted": {"metric": "errors", "at_most": 1},
    "each": {"metric": "recall(*)", "at_least": 0.5},
}
ANSWERS = answers(DATA, range(0, 80, 2))
BASE = answers(DATA, range(0, 20, 2), name="shipped")
RESULTS = judge(suite(TESTS), DATA, ANSWERS, BASE)
LINES = lines([RESULTS])
FACTS = Facts(
    suite="data_tests.yaml",
    suite_digest="0" * 64,
    network="run\x07 refined (seed 0)",
    network_digest="1" * 64,
    baseline="shipped",
    data="folder",
    data_digest="2" * 64,
    images=400,
    version="0",
)
VERDICTS = {
    **{"passes": "PASS", "unproven": "UNPROVEN", "fails": "FAIL", "near": "FAIL ~"},
    **{"few": "TOO FEW", "known": "KNOWN", "xpass": "XPASS", "broken": "ERROR", "gap": "FAIL"},
    **{"worse": "FAIL", "counted": "FAIL", "each[no_person]": "PASS", f"each[{EVIL}]": "PASS"},
}


def test_the_cases_are_what_they_are_meant_to_be():
    assert {each.name: texts.word(each) for each in RESULTS} == VERDICTS


@pytest.mark.parametrize("release", [False, True])
def test_junit(release):
    root = ET.fromstring(junit(FACTS, RESULTS, PATHS, release=release))
    (found,) = root
    cases = {case.get("name"): case for case in found.iter("testcase")}
    assert list(cases) == list(VERDICTS)
    kinds = {}
    for name, case in cases.items():
        tags = [child.tag for child in case]
        assert tags[0] == "properties"
        kinds[name] = tags[1] if tags[1:] else None
        held = {p.get("name"): p.get("value") for p in case.iter("property")}
        assert held["verdict"] == VERDICTS[name]
    open_end = "failure" if release else "skipped"
    assert kinds == {
        **dict.fromkeys(["passes", "xpass", "each[no_person]", f"each[{EVIL}]"]),
        **dict.fromkeys(["fails", "near", "gap", "worse", "counted"], "failure"),
        **{"unproven": open_end, "few": open_end, "known": "skipped", "broken": "error"},
    }
    for element in (root, found):
        for attribute, tag in (
            ("failures", "failure"),
            ("skipped", "skipped"),
            ("errors", "error"),
        ):
            assert int(element.get(attribute)) == list(kinds.values()).count(tag)
        assert int(element.get("tests")) == len(cases)
    failure = cases["fails"].find("failure")
    assert "accuracy 0.900 (0.867-0.926), n = 400, need >= 0.99" in failure.get("message")
    assert failure.get("type") == "FAIL"
    assert failure.text.splitlines() == ["worst of 40 errors:", *PATHS[0:20:2]]
    values = {p.get("name"): p.get("value") for p in cases["passes"].iter("property")}
    assert (values["value"], values["n"], values["metric"]) == ("0.9", "400", "accuracy")


def test_json_is_read_back(tmp_path):
    content = records.record(FACTS, RESULTS, PATHS, release=False)
    records.keep(tmp_path / "out.json", content)
    again = records.read(tmp_path / "out.json")
    assert again == json.loads(json.dumps(content))
    assert again["exit_code"] == 2
    assert again["counts"]["FAIL"] == 5
    fails = next(each for each in again["results"] if each["name"] == "fails")
    assert fails["worst"][0] == PATHS[0]
    assert fails["measured"]["n"] == 400
    for text in ("{", "[]", '{"format": 99}'):
        (tmp_path / "out.json").write_text(text)
        with pytest.raises(DataError, match=r"(?i)run the tests again"):
            records.read(tmp_path / "out.json")


def shown(table, width):
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_table_fits_80_columns():
    text = shown(terminal.results_table(LINES, "shipped", 0.95, bars=False), 80)
    assert max(map(len, text.splitlines())) <= 80
    squeezed = " ".join(text.split())
    assert "FAIL fails 400 0.975 0.900 0.867-0.926 >= 0.99" in squeezed
    assert "…" not in text
    wide = shown(terminal.results_table(LINES, None, 0.95), 120)
    assert "█████████░" in wide


def test_a_line_tells_for_how_many_it_stands():
    text = shown(terminal.results_table([Line((RESULTS[0],), 97)], None, 0.95, bars=False), 80)
    assert "weakest of 97 that pass" in text


ODD = ("[red]", "a b  c", "日本語のクラス", "/[bold]x[/bold]", ":smile:", "x" * 49, "back\\")
"""Names of classes that markup, emoji, folding and wide characters would break."""


@cache
def odd(n=1400):
    """Two networks on data with odd names, bounds of every kind."""
    data = rows(n, ODD, d=[float(i // len(ODD) % 2) for i in range(n)])
    tests = {
        "each_recall": {"metric": "recall(*)", "at_least": 0.75},
        "errs": {"metric": "errors", "at_most": 350},
        "reg": {"metric": "recall(*)", "max_regression": 0.015},
        "gap": {
            "metric": "recall(*)",
            "compare": {"a": "d = 0", "b": "d = 1"},
            "max_gap": 0.125,
        },
    }
    one, two = answers(data, range(0, n, 9)), answers(data, range(0, n, 5))
    return [judge(suite(tests), data, each, one) for each in (one, two)]


def told(text):
    """What stands in a table, however its cells are broken into lines."""
    return "".join(text.split())


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40, 24])
@pytest.mark.parametrize("what", ["test", "compare", "history"])
def test_nothing_is_cut_off_in_narrow_terminals(what, width):
    judged = odd()
    names = ["runs/imagenette-0123abcd refined (seed 0)", "runs/imagenette-4567cdef [red] (seed 0)"]
    if what == "test":
        table = terminal.results_table(lines(judged[1:]), "base", 0.95, bars=width >= 100)
    elif what == "compare":
        table = terminal.comparison_table(names, lines(judged))
    else:
        kept = records.record(FACTS, judged[1], ["p"] * 1400, release=False)["results"]
        facts = {"network": names[1], "when": "2026-01-02T03:04:05", "data_digest": "1"}
        table = terminal.history_table([facts | each for each in kept])
    text = shown(table, width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "…" not in text
    whole = told(text)
    if width >= 40:
        for need in (">= 0.75", "<= 350", "loss <= 0.015", "gap <= 0.125"):
            assert need in " ".join(text.split())
    if width <= 40 and what != "history":
        for name in ODD:
            assert told(f"each_recall[{name}]recall({name})") in whole


def test_odd_names_are_shown_as_they_are():
    for width in (200, 40):
        text = shown(terminal.results_table(lines(odd()[:1]), None, 0.95, bars=False), width)
        for name in ODD[:5]:
            assert f"each_recall[{name}]" in text


def test_reasons():
    said = "\n".join(terminal.reasons(LINES))
    assert "within noise" in said
    assert "it passes now: remove known_failure" in said
    assert "Did you mean 'label'" in said
    assert texts.summary(RESULTS) == (
        "1 ERROR, 5 FAIL, 1 UNPROVEN, 1 TOO FEW, 1 XPASS, 1 KNOWN, 3 PASS"
    )


def test_comparison_marks_what_is_shown():
    first = judge(suite(TESTS), DATA, BASE, BASE)
    text = shown(terminal.comparison_table(["shipped", "new"], lines([first, RESULTS])), 140)
    assert "0.900 (−0.075*)" in text
    assert "40 (+30*)" in text


def test_of_a_gap_the_gap_is_shown():
    """Not the accuracy of both slices together, which `gap <= 0.1` says nothing about."""
    compare = {"low": "label = 'no_person'", "high": "label <> 'no_person'"}
    suite_ = suite({"it": {"compare": compare, "max_gap": 0.1}})
    first, second = (judge(suite_, DATA, answers(DATA, w)) for w in ([], range(0, 80, 2)))
    text = shown(terminal.comparison_table(["a", "b"], lines([first, second])), 140)
    gap = second[0].measured.value
    assert gap < -0.1
    assert f"−{-gap:.3f} (−{-gap:.3f})" in text
    kept = records.record(FACTS, second, ["p"] * len(DATA.labels), release=False)
    facts = {"network": "b", "when": FACTS.when, "data_digest": "1"}
    past = [facts | each for each in kept["results"]]
    text = shown(terminal.history_table(past), 140)
    assert f"{gap:.3f}" in text
    assert "same images" not in text
    assert "differ in their images" in shown(
        terminal.history_table([*past, past[0] | {"data_digest": "2"}]), 140
    )


def look(result, row):
    random = np.random.default_rng(row)
    size = (240, 320, 3) if row % 4 else (20, 30, 3)
    return random.integers(0, 255, size, np.uint8), random.integers(0, 255, (32, 32, 3), np.uint8)


def rendered(**rest):
    return page.render(FACTS, RESULTS, DATA, lambda _: ANSWERS.probabilities, look, **rest)


def test_the_page_loads_nothing_and_escapes_everything():
    html = rendered()
    assert "http://" not in html
    assert "https://" not in html
    assert EVIL not in html
    assert "<script" not in html
    assert "default-src 'none'; img-src data:" in html
    for address in re.findall(r'(?:src|href)="([^"]*)"', html):
        assert address.startswith(("data:image/", "#"))


def test_the_page_has_an_anchor_for_every_test_and_bars_of_two_networks():
    html = rendered()
    ids = re.findall(r'<section class="test" id="([^"]+)"', html)
    assert len(ids) == len(RESULTS)
    for anchor in ids[:4]:
        assert f'href="#{anchor}"' in html
    assert html.count('class="track baseline"') >= 2 * 9
    assert "image-rendering: pixelated" in html
    assert "until &lt;next&gt; week" in html


def opened(address):
    kind, data = address.split(",")
    return kind, Image.open(BytesIO(b64decode(data)))


@pytest.mark.parametrize("webp", [True, False])
def test_pictures_keep_their_size_or_are_shrunk(webp, monkeypatch):
    monkeypatch.setattr(inline.features, "check", lambda _: webp)
    small, large = look(None, 0)[0], look(None, 1)[0]
    over = np.full((96, 96, 4), 100, np.uint8)
    for pixels, size in ((small, (30, 20)), (large, (96, 72)), (over, (96, 96))):
        kind, image = opened(thumbnail(pixels))
        assert image.size == size
        assert kind.startswith("data:image/webp" if webp else "data:image/")
    for exact in (small, small[..., :1], look(None, 0)[1]):
        _, image = opened(thumbnail(exact))
        found = np.asarray(image.convert("L" if exact.shape[2] == 1 else "RGB"))
        assert np.array_equal(found.reshape(exact.shape), exact)


def test_an_overlay_lies_over_what_the_network_saw():
    seen = []

    def overlay(result, row):
        seen.append((result.name, row))
        return np.full((32, 32, 4), 100, np.uint8)

    html = rendered(overlay=overlay)
    assert html.count('class="over"') == len(seen) > 20
    assert 'class="over"' not in rendered()
    assert 'id="saliency"' not in rendered()
    assert "Show saliency on all pictures" in html
    some = rendered(overlay=lambda _, row: None)
    assert 'class="over"' not in some


def test_history_lines():
    past = {"fails": [("a", 0.5), ("b", 0.7)], "counted": [("a", 80.0)]}
    html = rendered(history=past)
    assert html.count("<polyline") == 2
    assert "a 0.5 → b 0.7 → this network 0.9" in html
    points = re.findall(r'<polyline points="([^"]+)"', html)[0].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights, reverse=True)


def test_no_more_than_500_pictures():
    many = {f"t{i}": {"at_least": 0.99} for i in range(60)}
    results = judge(suite(many), DATA, ANSWERS)
    html = page.render(FACTS, results, DATA, lambda _: ANSWERS.probabilities, look)
    assert html.count('<figure class="picture">') == 60 * (500 // 60)


def test_a_page_without_pixels():
    html = page.render(FACTS, RESULTS, DATA, lambda _: ANSWERS.probabilities)
    assert "<figure class=" not in html.replace('<figure class="history">', "")
