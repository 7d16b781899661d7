"""Figures of docs/results.md hold the numbers of the tables below them."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = ("demo", "cifar10", "imagenette")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_and_the_table_below_it_agree(name):
    """Each line has the table's mean, and as many dots as the table has seeds."""
    text = (DOCS / "results.md").read_text("utf-8")
    table = text.partition(f"<!-- results:{name} -->")[2].partition("<!-- /results -->")[0]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if "±" in line]
    expected = {cells[0].split()[0]: (cells[3].split()[0], int(cells[-1])) for cells in lines}
    root = ElementTree.parse(DOCS / "images" / f"{name}-held-out.svg").getroot()
    drawn = {}
    for group in root.iter(f"{SVG}g"):
        mean = group.findtext(f"{SVG}rect/{SVG}title") or ""
        (stage,) = [each.text for each in group.findall(f"{SVG}text")]
        dots = [
            float(re.split(": ", t.text or "")[1])
            for t in group.iterfind(f"{SVG}circle/{SVG}title")
        ]
        value = float(mean.removeprefix("mean: "))
        assert value == pytest.approx(sum(dots) / len(dots), abs=0.01)
        drawn[stage] = (value, len(dots))
    assert {stage: (f"{value:.1f}", n) for stage, (value, n) in drawn.items()} == expected
