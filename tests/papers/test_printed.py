"""Every number of every table of the papers: in the data files, in the table files, in the text."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.papers.source_tables import (
    Cell,
    bias_loss_cells,
    label_refinery_cells,
    replication_cells,
    source_text,
)
from tinyrefinery.recipe.latency_table import is_latency_table, load_latency_table
from tinyrefinery.recipe.shipped import shipped_folder
from tinyrefinery.recipe.table import load_table

FILES = {
    "label_refinery": "label_refinery/printed.csv",
    "bias_loss": "bias_loss/printed.csv",
    "replication": "label_refinery/replication_printed.csv",
}
PARSERS = {
    "label_refinery": label_refinery_cells,
    "bias_loss": bias_loss_cells,
    "replication": replication_cells,
}
COUNTS = {
    "label_refinery": {1: 36, 2: 60, 3: 18, 4: 8, 5: 8, 6: 14, 7: 8},
    "bias_loss": {1: 78, 2: 15, 3: 7, 4: 20, 5: 72, 6: 12},
    "replication": {1: 24},
}
"""Numbers of each table, counted by hand; Table 3 of Bias Loss has three more in the text."""
MEASURE = re.compile(r"(?:^|_)(top1|top5|map)$")


def lines(paper: str) -> list[dict[str, str]]:
    """The data file of a paper: a line for each printed number."""
    with (shipped_folder() / FILES[paper]).open() as file:
        return list(csv.DictReader(file))


def table_files(paper: str, number: int) -> list[Path]:
    """The table files that have the numbers of a table."""
    if paper == "replication":
        names = ("replication", "replication_svhn")
        return [shipped_folder() / "label_refinery" / f"{name}.yaml" for name in names]
    return [shipped_folder() / paper / f"table{number}.yaml"]


def entries(path: Path) -> dict[str, dict[str, float]]:
    """What a table file has of each row, whether it is trained or printed only."""
    if is_latency_table(path):
        return {row.id: {} for row in load_latency_table(path).latency}
    table = load_table(path)
    return {
        row.id: row.paper.model_dump(exclude_none=True) if row.paper else {}
        for row in (*table.rows, *table.literature)
    }


CASES = [(paper, number) for paper, counts in COUNTS.items() for number in counts]


@pytest.mark.parametrize("paper", COUNTS)
def test_the_data_files_have_as_many_numbers_as_the_tables(paper):
    assert Counter(int(line["table"]) for line in lines(paper)) == COUNTS[paper]
    places = Counter((line["table"], line["row"], line["column"]) for line in lines(paper))
    assert set(places.values()) == {1}
    assert {line["origin"] for line in lines(paper)} <= {"measured", "quoted"}


@pytest.mark.parametrize(("paper", "number"), CASES)
def test_the_table_files_have_the_same_numbers(paper, number):
    known: dict[str, dict[str, float]] = {}
    for path in table_files(paper, number):
        known |= entries(path)
    wanted: dict[str, dict[str, float]] = {}
    for line in (each for each in lines(paper) if int(each["table"]) == number):
        measure = MEASURE.search(line["column"])
        if paper == "replication" and not line["column"].endswith("_spread"):
            measure = re.match("(top1)", "top1")
        for entry in line["entry"].split():
            assert entry in known, f"{line['row']}: the table has no row '{entry}'"
            if measure and not is_latency_table(table_files(paper, number)[0]):
                wanted.setdefault(entry, {})[measure[1]] = float(line["value"])
    assert {name: values for name, values in known.items() if values} == wanted


@pytest.mark.parametrize("paper", COUNTS)
def test_rows_that_are_printed_only_have_no_training(paper):
    for path in {path for number in COUNTS[paper] for path in table_files(paper, number)}:
        if is_latency_table(path):
            continue
        table = load_table(path)
        assert not {row.id for row in table.literature} & {row.id for row in table.rows}


def test_latencies_are_those_of_the_data_file():
    table = load_latency_table(table_files("bias_loss", 2)[0])
    assert {
        (row.id, device): value for row in table.latency for device, value in row.paper.items()
    } == {
        (line["entry"], line["column"]): float(line["value"])
        for line in lines("bias_loss")
        if line["table"] == "2" and line["column"] != "top1"
    }


@pytest.mark.parametrize("paper", PARSERS)
def test_the_numbers_are_those_of_the_text(paper):
    found = PARSERS[paper](source_text(paper))
    ours = [
        Cell(int(line["table"]), line["row"], line["column"], line["value"])
        for line in lines(paper)
        if not line["row"].endswith("(text)")
    ]
    assert Counter(found) == Counter(ours)


def test_the_numbers_of_the_ablation_are_assigned_as_in_the_text():
    text = source_text("bias_loss")
    values = {
        (line["entry"], line["column"]): line["value"]
        for line in lines("bias_loss")
        if line["table"] == "3"
    }
    wider = re.search(r"with the (\d+M) FLOPs and ([\d.]+M) parameters", text)
    assert wider is not None
    assert wider.groups() == (
        *(values["mobilenet_v3_105", "flops"], values["mobilenet_v3_105", "parameters"]),
    )
    accuracies = re.search(
        r"SkipblockNet-M achieves [^,]*?(\d\d\.\d)\\% accuracy, while MobileNetV3 .*? achieves"
        r" \S*?(\d\d\.\d)\\%",
        text,
    )
    assert accuracies is not None
    assert accuracies.groups() == (
        *(values["skip_blocks", "top1"], values["mobilenet_v3_105", "top1"]),
    )
    top1 = {entry: float(value) for (entry, column), value in values.items() if column == "top1"}
    gains = {"bias": "0.5", "skip_blocks": "0.3"}  # "increase ... by 0.5 %", "a gain of 0.3 %"
    for row, gain in gains.items():
        assert round(top1[row] - top1["neither"], 1) == float(gain)
    assert round(top1["both"] - top1["skip_blocks"], 1) == 0.7
