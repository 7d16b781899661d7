"""Names in the terminal."""

import ast
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from tinyrefinery.pages.cell_text import escape, one_line, without_commands
from tinyrefinery.prediction.predicted import PicturePredictions
from tinyrefinery.prediction.terminal_table import prediction_table
from tinyrefinery.reports.detectors import class_table
from tinyrefinery.reports.measures import category_table

SRC = Path(__file__).parents[2] / "src"

NAMES = ["a\nb", "a\tb", "a\r\n", "\x1b[31mred", "a\u2028b", "a\x0bb\x85", "\u202eab"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_line_that_python_reads_back(name):
    assert len(one_line(name).splitlines()) == 1
    assert one_line(name).isprintable()
    assert ast.literal_eval(f"'{one_line(name)}'") == name


@pytest.mark.parametrize("name", ["grüße", "日本 x", "a-b_c.d", "50%"])
def test_other_names_stay(name):
    assert one_line(name) == escape(name) == name


def test_brackets_are_no_markup():
    name = "[bold]x\n[/]"
    assert Text.from_markup(escape(name)).plain == r"[bold]x\n[/]"


def test_line_ends_may_stay():
    assert without_commands("a\tb\nc\x1b") == "a\\tb\nc\\x1b"


ODD = "x\n\ty\x1b[1mz"


def of_pictures() -> RenderableType:
    probabilities = np.array([[0.9, 0.1]])
    return prediction_table(PicturePredictions("n", (ODD, "b"), ("p",), probabilities), 1)


def of_categories() -> RenderableType:
    entry = {"category": ODD, "train_top1": 0.5, "validation_top1": 0.25}
    return category_table([SimpleNamespace(stage="a", key="k")], {"k": {"per_category": [entry]}})


def of_detectors() -> RenderableType:
    each = {"ap11": 0.5, "ap_area": 0.5, "recall": 0.7, "objects": 12}
    return class_table(
        [SimpleNamespace(key="k")], {"k": {"test": {"classes": {ODD: each}}}}, "test"
    )


@pytest.mark.parametrize("table", [of_pictures, of_categories, of_detectors])
def test_a_row_of_a_table_is_one_row(table):
    text = StringIO()
    Console(file=text, width=300).print(table())
    assert sum("x\\n\\ty\\x1b[1mz" in line for line in text.getvalue().splitlines()) == 1


def test_every_cell_is_escaped_here():
    """The function of rich leaves control characters as they are."""
    users = {p.name for p in SRC.rglob("*.py") if "rich.markup import" in p.read_text("utf-8")}
    assert users <= {"data_tests.py"}  # whose lines are no cells
