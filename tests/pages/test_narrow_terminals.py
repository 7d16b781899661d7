"""Every table of the command line at 80, 40 and 20 columns: nothing cut, no word broken."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tests.data_tests import test_comparison_page as compared
from tests.data_tests import test_reporters as reporting
from tests.reports.fake_run import write_fake_run
from tinyrefinery.data_tests.reports import terminal
from tinyrefinery.data_tests.reports.folding import lines
from tinyrefinery.deploy.bench.latency_report import latency_table
from tinyrefinery.pages.narrow_tables import Column, Fitted, FittedTable
from tinyrefinery.pages.run_tables import group_stages, terminal_table
from tinyrefinery.pages.word_wrap import longest_word, wrap_words
from tinyrefinery.prediction.predicted import PicturePredictions
from tinyrefinery.prediction.terminal_table import prediction_table
from tinyrefinery.reports.detectors import class_table, detector_table
from tinyrefinery.reports.measures import category_table, measure_table
from tinyrefinery.runs.run_folder import open_run
from tinyrefinery.variance.variance_report import variance_table

SRC = Path(__file__).parents[2] / "src"
NAME = "every_person_in_a_dark_room_with_a_coat_on_a_hanger"


def shown(table: RenderableType, width: int = 80) -> str:
    text = StringIO()
    Console(file=text, width=width, emoji=False).print(table)
    return text.getvalue()


def detectors() -> list[RenderableType]:
    """Two detectors with long names."""
    box = {"ap11": 0.512, "ap_area": 0.498, "recall": 0.71}
    test = {
        **{"images": 200, "objects": 1_234, "map11": 0.512, "blind_map11": 0.021},
        **{"map_area": 0.498, "coco": {"ap": 0.25, "ap50": 0.5, "ap75": 0.2}},
        "classes": {NAME: box | {"objects": 12}},
    }
    cost = {"parameters": 12_345_678, "macs": 1_234_567_890}
    stages = [
        SimpleNamespace(key=str(n), row="", model="skipblocknet_m_pretrained", seed=n)
        for n in range(2)
    ]
    measured = {stage.key: {"test": test, "cost": cost} for stage in stages}
    return [detector_table(stages, measured, "test"), class_table(stages, measured, "test")]


def of_a_run(folder: Path) -> list[RenderableType]:
    """The tables of `run`, `report` and `evaluate`, of networks with paths among their options."""
    run = write_fake_run(folder / "demo")
    model = "timm (name=efficientnet_lite0, checkpoint_path=/home/ann/downloads/lite0.safetensors)"
    for path in run.glob("stages/*/stage.json"):
        if path.with_name("done.json").exists():
            path.write_text(json.dumps(json.loads(path.read_text()) | {"model": model}))
    opened = open_run(run)
    interval = {"top1_interval": (0.61, 0.69), "n": 1_000}
    measured = {
        stage.key: {
            name: value | interval if name == "test" else value
            for name, value in stage.evaluation.items()
        }
        for stage in opened.stages
    }
    return [
        terminal_table(group_stages([opened])),
        measure_table(opened.stages, measured, "test"),
        category_table(opened.stages, measured),
    ]


def of_data_tests(_: Path) -> list[RenderableType]:
    judged = lines([reporting.RESULTS])
    return [
        terminal.results_table(judged, "shipped", 0.95, bars=False),
        terminal.comparison_table(["the network before", "after"], lines(compared.JUDGED)),
    ]


def of_networks(_: Path) -> list[RenderableType]:
    times = {"median": 12.5, "p10": 11.0, "p90": 14.0, "cpu": 12.0, "ratio": 1.0}
    facts = {"network": f"runs/{NAME}", "backend": "onnxruntime", "parameters": 1, "macs": 2}
    layer = SimpleNamespace(network=NAME, layer="blocks.3.depthwise.norm", seed=0)
    summary = {"n": 1_000, "mean": 0.1234, "max": 12.34, "min": 0.001, "std": 1.5}
    devices = {"pixel": "Pixel 4 CPU", "jetson": "Jetson TX2"}
    return [latency_table([facts | times], devices), variance_table([layer], [summary])]


def of_pictures(_: Path) -> list[RenderableType]:
    files = ("photos/the red bicycle/0001.jpg", "photos/car/0002.jpg")
    values = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    found = PicturePredictions("n", (NAME, "the red bicycle", "car"), files, values)
    return [prediction_table(found, k) for k in (1, 3)]


HEADS = {"picture", "network", "stage", "category", "detector", "class", "test"}
TABLES: dict[str, Callable[[Path], list[RenderableType]]] = {
    "a run": of_a_run,
    "detectors": lambda _: detectors(),
    "data tests": of_data_tests,
    "networks": of_networks,
    "pictures": of_pictures,
}


@pytest.mark.parametrize("columns", [80, 40, 20])
@pytest.mark.parametrize("name", TABLES)
def test_no_table_is_cut_and_no_word_is_broken(name, columns, tmp_path):
    for table in TABLES[name](tmp_path):
        wide, narrow = shown(table, 400), shown(table, columns)
        assert max(map(len, narrow.splitlines())) <= columns
        assert "…" not in narrow
        pieces = {piece for line in narrow.splitlines() for piece in line.split()}
        # The title of the column that heads the blocks is not needed there.
        words = {word for line in wide.splitlines() for word in line.split()} - HEADS
        strange = [piece for piece in pieces - HEADS if not any(piece in word for word in words)]
        assert not strange, narrow
        for word in words:
            if longest_word(Text(word)) == len(word):  # it has no place where it may be broken
                assert word in pieces, f"{name}: {word} is broken or lost in\n{narrow}"
        assert "/home/ann" not in narrow


def test_every_table_of_the_command_line_is_one_that_fits():
    """A plain table of rich cuts what does not fit. The grids within a fitted table do not."""
    users = [
        path.name
        for path in SRC.rglob("*.py")
        if "rich.table" in path.read_text("utf-8") and path.name != "narrow_tables.py"
    ]
    assert users == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dark_as_good_as_bright", "dark_as_\ngood_as_\nbright"),
        ("/home/user/demo.onnx", "/home/\nuser/\ndemo.onnx"),
        ("two words here", "two words\nhere"),
        ("0.93±0.01 10-20", "0.93±0.01\n10-20"),
        ("unbreakable_x", "unbreakable_\nx"),
    ],
)
def test_names_are_broken_after_their_separators(text, expected):
    assert wrap_words(Text(text), 9).plain == expected


def test_a_column_is_as_wide_as_its_longest_word():
    columns = [Column("test", 4), Column("n", right=True)]
    fitted = Fitted(columns, [[Text("absolutely_not"), Text("1")]])
    assert shown(fitted, 14).split() == ["test", "n", "absolutely_", "1", "not"]
    block = shown(fitted, 11).splitlines()
    assert [line.strip() for line in block] == ["absolutely_", "not", "n  1"]


def test_markup_in_cells_is_kept_as_style():
    table = FittedTable()
    table.add_text("network")
    table.add_row("a [dim]small[/dim] one")
    assert "a small one" in shown(table)
    assert not isinstance(table, Table)
