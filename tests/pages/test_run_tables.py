"""Tables against numpy, pandas and scipy on the same files."""

import json
import shutil
from io import StringIO

import numpy as np
import pandas
import pytest
from rich.console import Console
from scipy import stats

from tests.reports.fake_run import SEEDS, evaluation, key, write_fake_run
from tinyrefinery.errors import DataError
from tinyrefinery.pages.run_tables import (
    COLUMNS,
    comparisons,
    gain_line,
    group_stages,
    terminal_table,
    write_results,
)
from tinyrefinery.runs.run_folder import open_run


def top1(stage: str, split: str = "test") -> np.ndarray:
    return np.array([evaluation(stage, seed)[split]["top1"] for seed in SEEDS])


def test_results_hold_every_digit(run):
    frame = pandas.read_csv(write_results(open_run(run)), keep_default_na=False)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 12
    for _, line in frame.iterrows():
        found = evaluation(line["stage"], line["seed"])
        assert line["test_top1"] == found["test"]["top1"]
        assert line["gap"] == found["train"]["top1"] - found["test"]["top1"]
        assert line["nll"] == found["test"]["nll"]
        assert line["label_kl"] == found["label_quality"]["kl"]
        assert line["seconds"] == 15 * 2.5
        assert line["epochs"] == 15
        assert line["stage_key"] == key(line["stage"], line["seed"])


def test_groups_are_means_over_seeds(run):
    groups = group_stages([open_run(run)])
    assert [group.first.stage for group in groups] == ["compact", "large", "refined", "again"]
    for group in groups:
        values = top1(group.first.stage)
        found = group.spread("held_out_top1")
        assert found.mean == pytest.approx(values.mean(), abs=1e-12)
        assert found.std == pytest.approx(values.std(ddof=1), abs=1e-12)
        assert found.n == 3


def test_runs_of_the_same_name_stay_apart(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "elsewhere" / run.name)
    groups = group_stages([open_run(run), open_run(other)])
    assert [len(group.runs) for group in groups] == [3] * 8  # three seeds each, and none is lost
    assert [group.name for group in groups[:5:4]] == [f"{run} compact", f"{other} compact"]
    for comparison in comparisons(groups):
        assert comparison.group.first.run_folder == comparison.baseline.first.run_folder


def test_gains_are_paired_by_seed_with_the_plain_network_of_the_same_model(run):
    found = comparisons(group_stages([open_run(run)]))
    assert [(c.group.first.stage, c.baseline.first.stage) for c in found] == [
        ("refined", "compact"),
        ("again", "compact"),
    ]
    for each in found:
        reference = stats.ttest_rel(top1(each.group.first.stage), top1("compact"))
        interval = reference.confidence_interval(0.95)
        assert (each.gain.low, each.gain.high) == pytest.approx(tuple(interval), abs=1e-12)
    assert [each.gain.verdict for each in found] == ["gain", "no gain shown"]
    assert gain_line(found[0]).endswith("n = 3: gain")


def test_only_common_seeds_are_paired(run):
    shutil.rmtree(run / "stages" / f"refined-{key('refined', 1)[:8]}")
    gain = comparisons(group_stages([open_run(run)]))[0].gain
    assert gain.n == 2
    assert gain.mean == pytest.approx((top1("refined") - top1("compact"))[[0, 2]].mean())


def test_named_baseline(run):
    groups = group_stages([open_run(run)])
    found = comparisons(groups, "large")
    assert [each.group.first.stage for each in found] == ["compact", "refined", "again"]
    with pytest.raises(DataError, match=r"baseline 'larg': no such stage. Did you mean 'large'"):
        comparisons(groups, "larg")


def test_held_out_is_validation_unless_every_stage_was_tested(run):
    path = run / "stages" / f"again-{key('again', 2)[:8]}" / "evaluation.json"
    found = json.loads(path.read_text())
    del found["test"]
    path.write_text(json.dumps(found))
    groups = group_stages([open_run(run)])
    assert {group.held_out for group in groups} == {"validation"}
    mean = groups[0].spread("held_out_top1").mean
    assert mean == pytest.approx(top1("compact", "validation").mean())


def test_runs_are_not_mixed(run):
    other = write_fake_run(run.parent / "other", seeds=(0,))
    groups = group_stages([open_run(run), open_run(other)])
    assert [len(group.runs) for group in groups] == [3] * 4 + [1] * 4
    assert groups[0].name == "demo compact"
    assert groups[4].name == "other compact"
    assert comparisons(groups)[2].baseline is groups[4]
    assert comparisons(groups)[2].gain.verdict == "one seed"


def test_rows_find_their_baseline(run):
    rows = {"compact": ["a", "b"], "refined": ["a"], "again": ["c"], "large": ["c"]}
    for path in run.glob("stages/*/stage.json"):
        if not path.with_name("done.json").exists():
            continue
        facts = json.loads(path.read_text())
        facts |= {"rows": rows[facts["stage"]], "model": "tiny_cnn"}
        path.write_text(json.dumps(facts))
    found = comparisons(group_stages([open_run(run)]))
    assert {each.group.name: each.baseline.name for each in found} == {
        "a refined": "a + b compact",
        "c again": "c large",
    }


def test_nothing_finished(run):
    for path in run.glob("stages/*/done.json"):
        path.unlink()
    with pytest.raises(DataError, match="no stage has finished yet"):
        group_stages([open_run(run)])


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_table_fits_and_holds_the_numbers(run, width):
    text = StringIO()
    groups = group_stages([open_run(run)])
    Console(file=text, width=width).print(terminal_table(groups))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text.getvalue()
    compact = top1("compact")
    expected = f"{100 * compact.mean():.1f} ± {100 * compact.std(ddof=1):.1f}"
    assert expected in next(line for line in lines if line.startswith("compact"))
