"""Every kind of page that Tiny Refinery writes, made of small data, as HTML."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.data_tests import test_comparison_page as compared
from tests.data_tests import test_reporters as reporting
from tests.data_tests.cases import suite
from tests.recipe_files import write_tiny
from tests.refiners.test_report import found as refiners
from tests.reports.fake_run import write_fake_run
from tests.review.queues import small_queue
from tinyrefinery.audit.checks import audit
from tinyrefinery.audit.files import as_page
from tinyrefinery.cli.main import app
from tinyrefinery.data.open import open_data
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.reports import comparison_page
from tinyrefinery.data_tests.reports.folding import lines
from tinyrefinery.data_tests.reports.page import render
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.reports.network_facts import network_facts
from tinyrefinery.reports.page import write_page
from tinyrefinery.review.page import static_page
from tinyrefinery.review.queue_pictures import Pictures, open_queue_data
from tinyrefinery.review.reviewing import open_review
from tinyrefinery.runs.image_record import write_images
from tinyrefinery.runs.run_folder import open_run

WORD = "a_name_of_a_class_" * 9
LONG = "a-photograph-of-a-very-long-file-name-that-a-phone-gave-it-20261130_101112345.jpg"


def report(folder: Path) -> str:
    """A run of four stages with a confusion matrix, errors, refiners, curves and samples."""
    run = write_fake_run(folder / "demo")
    facts = network_facts(open_run(run))
    assert facts is not None
    names = (WORD, *(f"class of number {n}" for n in range(1, 8)))
    labels = np.arange(80) % 8
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.full(8, 0.5), 80) + 0.3 * np.eye(8)[labels]
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    ids = [f"id{n}" for n in range(80)]
    found = Predictions(np.array(ids), np.arange(80), labels, probabilities, names)
    found.save(facts.stage.folder / "predictions-test.parquet")
    paths = [str(folder / f"{n}-{LONG}") for n in range(80)]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(path)
    columns = {"id": ids, "path": paths, "label": [names[n] for n in labels]}
    write_images(run, facts.stage.data, pa.table({**columns, "split": ["test"] * 80}))
    (run / "refiners.json").write_text(json.dumps(refiners()))
    return write_page([open_run(run)]).read_text("utf-8")


def data_tests(folder: Path) -> str:
    """Tests of every verdict, with pictures, saliency and history."""
    name = "every_person_in_a_dark_room_with_a_coat_on_a_hanger"
    gap = {"compare": {"dark rooms of people": "d = 0", "other": "d = 1"}, "max_gap": 0.01}
    tests = reporting.TESTS | {name: {"at_least": 0.99}, f"gap_of_{name}": gap}
    results = judge(suite(tests), reporting.DATA, reporting.ANSWERS, reporting.BASE)
    over = np.full((32, 32, 4), 100, np.uint8)
    return render(
        reporting.FACTS,
        results,
        reporting.DATA,
        lambda _: reporting.ANSWERS.probabilities,
        reporting.look,
        overlay=lambda *_: over,
        history={"fails": [("a", 0.5), ("b", 0.7)], "counted": [("a", 80.0)]},
    )


def comparison(folder: Path) -> str:
    """Two networks judged by the same tests."""
    judged = lines(compared.JUDGED)
    title = comparison_page.headline(compared.JUDGED)
    return comparison_page.render(reporting.FACTS, ["the network before", "after"], judged, title)


def audit_page(folder: Path) -> str:
    """Findings of a faulty dataset, with pictures."""
    sizes = {"train": 600, "validation": 0, "test": 200, "digits": 1, "width": 32}
    faults = {"wrong_labels": 0.05, "dark_class": 0.6, "copies": 0.1, "rare_class": 15}
    data = open_data("street_numbers", **sizes, **faults)
    return as_page("recipes/starter/street_numbers.yaml", data, audit(data))


def audit_of_long_names(folder: Path) -> str:
    """Findings about a class whose name is one long word."""
    random = np.random.default_rng(0)
    for number, name in enumerate((WORD, "dog", "cat")):
        (folder / "photos" / name).mkdir(parents=True)
        for picture in range(12):
            pixels = random.integers(0, 80 + 80 * number, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{picture}-{LONG[:-4]}.png")
    data = open_data("folder", root=folder / "photos")
    return as_page(str(folder / "photos"), data, audit(data))


def review(folder: Path) -> str:
    """A queue to review without a server."""
    queue = small_queue()
    opened = open_review(queue, folder / "decisions.jsonl", "ann")
    return static_page(opened, Pictures(queue, open_queue_data(queue)))


def fit(folder: Path) -> str:
    """The page of a search, on drawn shapes; needs the converter of LiteRT."""
    from tests.fitting.test_fit import HOURS, write_shapes  # needs the extra

    photos = write_shapes(folder / "photos")
    words = ["fit", str(photos), "--hours", str(HOURS), "--out", str(folder / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return (folder / "out/page.html").read_text("utf-8")


def demo(folder: Path) -> str:
    """The page of a run whose best network ships."""
    from tests.cli.test_demo import SMALL
    from tinyrefinery.cli import demo as command

    write_tiny(folder, SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "RECIPE", str(folder / "tiny.yaml"))
        words = ["demo", "--seeds", "2", "--runs", str(folder / "runs")]
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return (folder / "runs/demo/page.html").read_text("utf-8")


PAGES: dict[str, Callable[[Path], str]] = {
    "report": report,
    "data tests": data_tests,
    "comparison": comparison,
    "audit": audit_page,
    "audit of long names": audit_of_long_names,
    "review": review,
    "fit": fit,
    "demo": demo,
}
