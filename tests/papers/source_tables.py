"""The tables of the papers, read out of their text: one `Cell` per printed number.

The texts are those of `arxiv.org`, converted to plain text, and of the replication's post. They are
not part of this project. `source_text` finds them or skips the test.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = {
    "label_refinery": "002-paper-label-refinery.txt",
    "bias_loss": "003-paper-bias-loss.txt",
    "replication": "001-blog-replication-cifar10-svhn.txt",
}


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    table: int
    row: str
    """As printed, without marks and citations."""
    column: str
    value: str
    """As printed."""


def source_text(paper: str) -> str:
    """The text of a paper; else the test is skipped.

    It is looked for in the folder that TINYREFINERY_TEST_SOURCES names, else beside the checkout.
    """
    beside = Path(__file__).parents[3] / "shared" / "sources"
    root = Path(os.environ.get("TINYREFINERY_TEST_SOURCES", beside))
    path = root / NAMES[paper]
    if not path.exists():
        pytest.skip(
            f"no text of the paper at {path}; set TINYREFINERY_TEST_SOURCES to compare with it"
        )
    return path.read_text()


def label_refinery_cells(text: str) -> list[Cell]:
    """Tables 1 to 7 of Label Refinery. A caption follows its table."""
    accuracy = ("top1", "top5")
    columns = {
        2: ("paper_top1", "paper_top5", "top1", "top5", "refined_top1", "refined_top5"),
        3: ("top1", "top5", "refined_top1", "refined_top5", "jittered_top1", "jittered_top5"),
        6: ("refiner_top1", "refiner_top5", *accuracy),
    }
    cells: list[Cell] = []
    lines: list[list[str]] = []
    for line in text.splitlines():
        if caption := re.match(r"Table (\d+):", line):
            number = int(caption[1])
            cells += _cells(number, lines, columns.get(number, accuracy))
            lines = []
        elif "\t" in line and re.search(r"\d", line) and not line.startswith(("Model", "\t")):
            lines.append([_plain(part) for part in line.split("\t")])
    return cells


def _plain(text: str) -> str:
    """A cell without marks: bold, a dagger, a citation. `AlexNet <sup>2</sup>` is AlexNet^2."""
    text = re.sub(r"</?b>|<sup>†</sup>|\$|\[\d+\]", "", text)
    text = re.sub(r"\s*<sup>(\d)</sup>", r"^\1", text).replace("–", "-")
    return " ".join(text.replace("l_2", "l2").split())


def _cells(number: int, lines: Sequence[Sequence[str]], columns: Sequence[str]) -> Iterator[Cell]:
    for line in lines:
        width = len(columns) + 1
        for start in range(0, len(line), width):  # Table 1 has three networks side by side
            row, *values = line[start : start + width]
            for column, value in zip(columns, values, strict=False):
                if re.fullmatch(r"[\d.]+", value):
                    yield Cell(number, row, column, value)


def replication_cells(text: str) -> list[Cell]:
    """Table 1 of the post: mean and spread by generation, set and augmentation."""
    columns = [
        f"{data}_{which}" for data in ("cifar10", "svhn") for which in ("plain", "augmented")
    ]
    cells = []
    for line in re.findall(r"^\\\(R_\d\\\) .*±.*$", text, re.M):
        row = re.sub(r"[^R\d]", "", line.split()[0])
        for column, (mean, spread) in zip(
            columns, re.findall(r"([\d.]+) ± ([\d.]+)", line), strict=True
        ):
            cells += [Cell(1, row, column, mean), Cell(1, row, f"{column}_spread", spread)]
    return cells


COLUMNS = {
    1: ("flops", "parameters", "top1", "top5"),
    2: ("top1", "pixel_4", "pixel_3"),
    3: ("top1",),
    4: ("parameters", "cross_entropy_top1", "focal_top1", "bias_top1"),
    5: tuple(f"{what}_{layer}" for layer in ("5", "20", "last") for what in ("avg", "max", "min")),
    6: ("parameters", "flops", "map"),
}
"""The columns of each table of Bias Loss, in order."""


def bias_loss_cells(text: str) -> list[Cell]:
    """Tables 1 to 6 of Bias Loss. A caption stands before its table."""
    cells = []
    for number, columns in COLUMNS.items():
        body = text[text.index(f"\nTable {number}: ") :].split("\n", 2)[2]
        for place, line in enumerate(_lines(body)):
            words = line.replace("%", "").split()
            values = words[len(words) - len(columns) :]
            row = _network(" ".join(words[: len(words) - len(columns)])) or f"row {place + 1}"
            for column, value in zip(columns, values, strict=True):
                if value != "-":
                    cells.append(Cell(number, row, column, value))
    return cells


def _lines(body: str) -> Iterator[str]:
    """The lines of a table that have numbers, without its header."""
    for line in body.splitlines():
        if not line.strip():
            return
        header = re.match(r"\s*(Model\b|CE loss|avg\.|Top-1)", line)
        if not header and re.search(r"(^|\s)(\d[\d.]*[MB]?|-)\s*$", line):
            yield line


def _network(name: str) -> str:
    """A name without citation. The text has each formula twice: `0.5×0.5\\times`."""
    name = re.sub(r"(?:\d\.\d+×)?(\d\.\d+)×?\\times", r"\1x", name)
    name = re.sub(r"N=4.*4N=4", "N=4", name)
    name = re.sub(r"k=12.*12k=12", "k=12", name)
    return " ".join(re.sub(r"\[\d+\]", "", name).split())
