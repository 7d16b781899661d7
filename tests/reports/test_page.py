"""The page: complete, self-contained, safe, honest, and with the numbers of the files."""

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.reports.fake_run import CLASSES, SEEDS, STAGES, evaluation, write_fake_run
from tinyrefinery.errors import DataError
from tinyrefinery.pages.run_tables import comparisons, group_stages
from tinyrefinery.reports.page import facts, headline, write_page
from tinyrefinery.runs.run_folder import open_run

VOID = {"meta", "img", "br", "hr", "link", "input", "image", "rect"}


class Page(HTMLParser):
    """Elements, addresses, ids and texts of a page; fails on elements that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "srcset")]
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and "style" not in self.open:
            self.cells.append(data.strip())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return write_page([open_run(folder)]).read_text()


def test_nothing_is_fetched(html):
    page = Page(html)
    assert all(a.startswith(("data:image/png;base64,", "#")) for a in page.addresses)
    assert sum(a.startswith("data:") for a in page.addresses) == 2 * 12
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "default-src 'none'" in html


def test_references_inside_the_page_lead_somewhere(html):
    page = Page(html)
    used = {a[1:] for a in page.addresses if a.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]+)\)", html))
    assert used <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_every_stage_and_number_is_there(html):
    cells = Page(html).cells
    for name, facts_ in STAGES.items():
        assert facts_.get("title", name) in cells
        for split, minus in (("test", None), ("train", None), ("train", "test")):
            found = [evaluation(name, seed) for seed in SEEDS]
            values = np.array(
                [f[split]["top1"] - (f[minus]["top1"] if minus else 0) for f in found]
            )
            assert f"{100 * values.mean():.1f} ± {100 * values.std(ddof=1):.1f}" in cells
    assert html.count("<svg") == 4 + 4 + 4 + 12  # main plots, curves, categories, crops
    for text in ("Recipe, as it ran", "Data", "Environment", "Rows left out of the data (1)"):
        assert text in cells


def test_names_are_text_and_nothing_else(html, folder):
    assert "<script" not in html
    assert "<b>demo</b>" not in html
    assert "<large>" not in html
    shown = " ".join(Page(html).cells)
    for text in ("<script>alert(1)</script>", "a&b", "$x_1$", "<b>demo</b>", "a/<i>.png"):
        assert text in shown
    assert "<large>" not in (folder / "plots" / "gain.svg").read_text()


def test_the_headline_claims_what_the_intervals_show(html, run, tmp_path):
    assert '<p class="lead">A gain in test top-1 in 1 of 2 comparisons.</p>' in html
    assert said(run) == "A gain in test top-1 in 1 of 2 comparisons."
    lone = write_fake_run(tmp_path / "one", seeds=(0,))
    assert said(lone).startswith("One seed only, so no gain is claimed")
    for path in run.glob("stages/re*/done.json"):
        path.unlink()
    assert said(run) == "No gain shown: again against compact."
    for path in run.glob("stages/again*/done.json"):
        path.unlink()
    assert said(run).startswith("No gain is claimed: no network")


def said(run: Path) -> str:
    return headline(comparisons(group_stages([open_run(run)])), "test")


def test_page_without_what_may_be_missing(run):
    (run / "samples.npz").unlink()
    for path in run.glob("stages/*/evaluation.json"):
        path.write_text('{"validation": {"top1": 0.5}}')
    for path in run.glob("stages/*/metrics.jsonl"):
        path.unlink()
    html = write_page([open_run(run)]).read_text()
    assert Page(html).tags.count("svg") == 2  # gain and held-out accuracy
    assert "Crops and their labels" not in html


def test_runs_side_by_side(run):
    other = write_fake_run(run.parent / "other", seeds=(0, 1))
    out = run.parent / "both.html"
    assert write_page([open_run(run), open_run(other)], out) == out
    page = Page(out.read_text())
    assert {"demo compact", "other compact", "Recipe of other, as it ran"} <= set(page.cells)
    assert len(page.ids) == len(set(page.ids))


def test_the_most_overfitted_categories_are_named(html, folder):
    assert html.count("Furthest below: ") == len(STAGES)
    entries = [evaluation("compact", seed)["per_category"] for seed in SEEDS]
    gaps = {}
    for lines in zip(*entries, strict=True):
        if lines[0]["validation_top1"] is not None:
            gap = np.mean([line["train_top1"] - line["validation_top1"] for line in lines])
            gaps[lines[0]["category"]] = gap
    worst = escape(max(gaps, key=gaps.__getitem__))
    assert f"Furthest below: {worst} " in html


def test_plots_are_saved_and_the_same_files_give_the_same_page(html, folder):
    svg = (folder / "plots" / "gap.svg").read_bytes()
    assert {p.name for p in (folder / "plots").iterdir()} == {
        f"{name}.{kind}"
        for name in ("gain", "held_out_top1", "gap", "label_kl")
        for kind in ("svg", "png")
    }
    assert write_page([open_run(folder)]).read_text() == html
    assert (folder / "plots" / "gap.svg").read_bytes() == svg


@pytest.mark.parametrize("keep", [0, 1000, -100])
def test_truncated_samples_name_themselves(run, keep):
    path = run / "samples.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"samples\.npz: is damaged"):
        write_page([open_run(run)])


def test_long_lists_are_cut():
    lines = dict(facts({"a": {"b": 1}, "classes": list(CLASSES), "none": []}))
    assert lines["a.b"] == "1"
    assert lines["classes"].endswith("(30 in all)")
    assert lines["none"] == ""
