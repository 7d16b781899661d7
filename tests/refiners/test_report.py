"""What is said of refiners: the numbers of the file, ties report_lines, damage refused."""

import json

import pytest
from rich.console import Console

from tinyrefinery.errors import DataError
from tinyrefinery.refiners.refiner_report import (
    ranking_lines,
    read_refiners,
    refiner_table,
    report_lines,
)
from tinyrefinery.reports.page import write_page
from tinyrefinery.runs.run_folder import open_run


def entry(name, unseen):
    return {
        **{"name": name, "source": f"file:{name}", "model": "tiny_cnn", "verdict": "with care"},
        "batch_norm": "batch",
        "reasons": [{"grade": "with care", "what": f"right on {unseen:.0%} of <crops>"}],
        "validation": {"n": 50, "top1": 0.61, "top1_interval": [0.5, 0.7], "nll": 1.2, "ece": 0.1},
        "train_crops": {"top1": 0.701, "effective_classes": 3.21, "pairs_disagree": 0.405},
        "validation_crops": {"top1": unseen},
        "gap": {"top1": 0.701 - unseen, "standard_error": 0.012},
        "movement": {"running": {"top1_changed": 0.031, "total_variation": 0.021, "kl": 0.0123}},
        "crop_truth": {},
        "human": {"test": {k: {"n": 9, "kl": v} for k, v in KINDS.items()}},
    }


KINDS = {"labels": 0.321, "given": 0.271, "smoothed": 0.151}


def found(places=((1, "a"), (1, "b"), (3, "c"))):
    entries = [entry(name, 0.5 + 0.1 * i) for i, (_, name) in enumerate(places)]
    on = {"train_images": 100, "validation_images": 50, "crops": 4, "batch_norm": "batch"}
    ranking = {"basis": "top-1 minus gap", "rests_on": "a score"}
    ranking["places"] = [{"place": place, "name": name} for place, name in places]
    return {"format": 1, "on": on, "refiners": entries, "ranking": ranking}


def test_the_table_has_the_numbers_and_fits():
    console = Console(width=80, record=True)
    console.print(refiner_table(found()))
    text = console.export_text()
    for cell in ("70.1", "50.0", "20.1±1.2", "3.21", "40.5", "with care"):
        assert cell in text
    assert "truth" not in text


def test_what_is_told():
    text = "\n".join(report_lines(found()))
    assert "a: with care" in text
    assert "3.1% of the top classes and 2.1% of the probability change (KL 0.012 nats)" in text
    assert "KL to human labels, test images (n = 9): 0.321 nats, given labels 0.271" in text
    assert "top-1 61.0% [50.0%, 70.0%]" in text


def test_ties_and_another_order_by_accuracy():
    lines = ranking_lines(found())
    assert lines[0] == "Ranking: a = b > c"
    assert lines[2] == "By accuracy on unseen crops alone: c > b > a"
    assert ranking_lines(found([(1, "a")])) == []


def test_the_page(run):
    (run / "refiners.json").write_text(json.dumps(found()))
    html = write_page([open_run(run)]).read_text()
    assert "<h2>Refiner assessment" in html
    assert "right on 50% of &lt;crops&gt;" in html
    assert "KL to human labels, test images" in html
    (run / "refiners.json").unlink()
    assert "Refiner assessment" not in write_page([open_run(run)]).read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}'])
def test_a_damaged_file(run, text):
    (run / "refiners.json").write_text(text)
    with pytest.raises(DataError, match=r"refiners\.json"):
        read_refiners(run / "refiners.json")
