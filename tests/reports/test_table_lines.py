"""A table beside the paper's, against numpy and scipy on the same files."""

import json
from io import StringIO

import numpy as np
import pandas
import pytest
from rich.console import Console
from scipy import stats

from tests.reports.fake_run import SEEDS, evaluation, key
from tinyrefinery.errors import DataError
from tinyrefinery.reports.page import write_page
from tinyrefinery.reports.table_lines import order_kept, table_lines, write_table
from tinyrefinery.reports.table_text import notes, terminal_lines, title
from tinyrefinery.runs.run_folder import open_run

PAPER = {"compact": {"top1": 57.93, "top5": 79.41}, "refined": {"top1": 66.28}, "large": {}}
STAGES = {"plain": "compact", "by_large": "refined", "upper": "large", "later": "again"}


def facts(**changes):
    """A table.json of the fake run: four rows, one of which has not run."""
    rows = [
        {"id": row, "stage": stage, "baseline": "plain", "paper": PAPER.get(stage, {"top1": 70.0})}
        for row, stage in STAGES.items()
    ]
    rows[0]["baseline"] = None
    keys = {row: {str(s): key(stage, s) for s in SEEDS} for row, stage in STAGES.items()}
    keys["later"] = {"0": "not finished"}
    return {
        "title": "Table <4>",
        "paper": {"arxiv": "1805.02641", "where": "Table 4"},
        "metric": "top1",
        "scale": None,
        "smoke": False,
        "recipe": "small networks",
        "without": {"jittered": "jittering is missing"},
        "rows": rows,
        "keys": keys,
    } | changes


def top1(stage):
    return np.array([evaluation(stage, seed)["test"]["top1"] for seed in SEEDS])


def read(run, **changes):
    (run / "table.json").write_text(json.dumps(facts(**changes)))
    return open_run(run)


def test_a_lone_recipe_has_no_table(run):
    folder = open_run(run)
    assert table_lines(folder) == []
    assert write_table(folder) is None
    assert not (run / "table.csv").exists()


def test_lines_are_the_papers_numbers_beside_ours(run):
    lines = {line.row: line for line in table_lines(read(run))}
    assert list(lines) == ["plain", "by_large", "upper", "later"]
    plain, refined, upper, later = lines.values()
    assert plain.ours.mean == pytest.approx(top1("compact").mean(), abs=1e-12)
    assert plain.ours.std == pytest.approx(top1("compact").std(ddof=1), abs=1e-12)
    assert refined.difference == pytest.approx(top1("refined").mean() - 0.6628, abs=1e-12)
    assert refined.paper_gain == pytest.approx(0.0835, abs=1e-12)
    reference = stats.ttest_rel(top1("refined"), top1("compact"))
    interval = reference.confidence_interval(0.95)
    assert (refined.gain.low, refined.gain.high) == pytest.approx(tuple(interval), abs=1e-12)
    assert (plain.gain, plain.paper_gain, upper.paper_gain, upper.difference) == (None,) * 4
    assert upper.gain.mean == pytest.approx((top1("large") - top1("compact")).mean(), abs=1e-12)
    assert (later.group, later.ours, later.gain, later.paper) == (None, None, None, 0.70)


def test_the_order_is_counted_in_pairs(run):
    folder = read(run)
    assert order_kept(table_lines(folder)) == (1, 1)  # plain below by_large; upper isn't printed
    table = facts()
    table["rows"][2]["paper"] = {"top1": 60.0}  # we have it on top: wrong against by_large alone
    assert order_kept(table_lines(read(run, rows=table["rows"]))) == (2, 3)
    table["rows"][2]["paper"] = {"top1": 57.93}  # a tie in the paper is no order
    assert order_kept(table_lines(read(run, rows=table["rows"]))) == (1, 2)


def test_the_csv_holds_percent_and_every_digit(run):
    folder = read(run)
    frame = pandas.read_csv(write_table(folder)).set_index("row")
    assert frame.loc["by_large", "paper_top1"] == 66.28
    assert frame.loc["by_large", "top1"] == pytest.approx(100 * top1("refined").mean(), abs=1e-9)
    assert frame.loc["by_large", "paper_gain"] == pytest.approx(66.28 - 57.93, abs=1e-9)
    assert frame.loc["by_large", "n"] == 3
    assert frame.loc["plain", "paper_top5"] == 79.41
    assert frame.loc["later", "n"] == 0
    assert frame.loc["later"].isna()[["top1", "gain", "model"]].all()
    at_scale = pandas.read_csv(write_table(read(run, scale="street")))
    assert at_scale["difference"].isna().all()
    assert not at_scale["gain"].isna().all()


def shown(folder, width=80):
    console = Console(width=width, file=StringIO())
    lines = table_lines(folder)
    console.print(terminal_lines(lines))
    return console.file.getvalue(), "\n".join(notes(folder, lines))


def test_the_terminal_shows_it_in_80_columns(run):
    text, told = shown(read(run))
    assert all(len(line) <= 80 for line in text.splitlines())
    head = " ".join(text.splitlines()[0].split() + text.splitlines()[1].split())
    assert "difference" in head
    row = next(line for line in text.splitlines() if line.startswith("by_large"))
    difference = f"{100 * (top1('refined').mean() - 0.6628):+.1f}"
    assert {"66.28", difference, "+8.35", "3"} <= {*row.split()}
    assert "not run" in text
    assert "arXiv 1805.02641, Table 4." in told
    assert "over row 'plain'" in told
    assert "Order: 1 of 1 pairs" in told
    assert "Left out: jittered: jittering is missing" in told


def test_rows_that_are_printed_only_stand_apart(run):
    printed = {"id": "muxnet", "network": "MUXNet-s", "paper": {"top1": 71.6, "top5": 90.3}}
    folder = read(run, literature=[printed])
    assert "MUXNet-s" not in {line.row for line in table_lines(folder)}
    told = shown(folder)[1]
    assert "Printed only, not measured here: MUXNet-s top-1 71.6, top-5 90.3." in told


def test_a_scale_says_that_accuracies_are_not_to_be_compared(run):
    folder = read(run, scale="street")
    text, told = shown(folder)
    assert title(folder) == "Table <4>, at scale street"
    assert "difference" not in text
    assert "not the paper's (small networks): compare the order of the rows and the gains" in told
    assert "mean nothing" in shown(read(run, smoke=True))[1]


def test_without_paper_numbers_only_ours_stand_there(run):
    table = facts()
    rows = [row | {"paper": {}, "baseline": None} for row in table["rows"]]
    text, told = shown(read(run, rows=rows, paper=None))
    assert text.split()[:3] == ["row", "ours", "n"]
    assert "Gain" not in told
    assert "Order" not in told


def test_the_page_shows_the_table_and_escapes_it(run):
    page = write_page([read(run, scale="street")]).read_text()
    assert "<h2>Table &lt;4&gt;, at scale street</h2>" in page
    assert "66.28" in page
    assert "compare the order of the rows and the gains" in page
    assert "66.28" not in write_page([open_run(without_table(run))]).read_text()


def test_a_table_json_that_lacks_something_says_so(run):
    (run / "table.json").write_text(json.dumps({"title": "x", "rows": []}))
    with pytest.raises(
        DataError, match=r"table\.json: lacks paper, metric, .*keys\. Delete this file"
    ):
        open_run(run)


def without_table(run):
    (run / "table.json").unlink()
    return run
