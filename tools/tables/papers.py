"""Tables of papers: the rows that have been run, beside the printed numbers."""

import csv

from tables.reading import ROOT, gain, load, markdown, values
from tinyrefinery.pages.numbers import percent
from tinyrefinery.statistics.paired import spread

SCALES = {
    "imagenet": "ImageNet",
    "street": "Street numbers",
    "cifar10": "CIFAR-10",
    "cifar10_longer": "CIFAR-10, trained three times as long",
    "cifar10_more": "CIFAR-10, four times the images",
    "imagenette": "Imagenette",
    "tiny_imagenet": "Tiny-ImageNet",
}
PERCENT = ("paper_top1", "paper_gain", "top1", "top1_std", "gain", "gain_low", "gain_high")


def paper_table(table: str) -> str:
    """A table of Label Refinery at each scale that has been run: docs/results/TABLE-SCALE.csv.

    The file is the table.csv of the run; its results.csv lies beside it as TABLE-SCALE-runs.csv.
    """
    parts = []
    for scale, title in SCALES.items():
        if not (ROOT / "docs" / "results" / f"{table}-{scale}.csv").exists():
            continue
        option = "" if scale == "imagenet" else f" --scale {scale}"
        command = f"tinyrefinery reproduce label_refinery/{table}{option}"
        parts.append(f"## {title}\n\n```\n{command}\n```\n\n{paper_rows(f'{table}-{scale}')}")
    return "\n\n".join(parts)


def paper_rows(name: str) -> str:
    """The rows of docs/results/NAME.csv that have been run, with the paper's numbers."""
    lines = [
        ["row", "network", "paper top-1", "our top-1", "paper gain", "our gain", "gain over", "n"]
    ]
    return markdown([*lines, *(paper_line(row) for row in load(name) if int(row["n"]))])


def paper_line(row: dict[str, str]) -> list[str]:
    """One row of a table.csv; its numbers are percent."""
    number = {key: float(row[key]) if row[key] else None for key in PERCENT}
    top1, std, gain, low, high = (number[key] for key in PERCENT[2:])
    ours = f"{top1:.1f}" + ("" if std is None else f" ± {std:.1f}") if top1 is not None else ""
    ours_gain = f"{gain:+.1f}" if gain is not None else ""
    ours_gain += f" [{low:+.1f}, {high:+.1f}]" if low is not None else ""
    papers_gain = f"{number['paper_gain']:+.4g}" if number["paper_gain"] is not None else ""
    cells = [row["row"], row["model"], row["paper_top1"], ours, papers_gain, ours_gain]
    return [each.replace("-", "−") if i > 2 else each for i, each in enumerate(cells)] + [
        *(row["baseline"], row["n"])
    ]


PRINTED = {
    "label-refinery": "label_refinery/printed.csv",
    "bias-loss": "bias_loss/printed.csv",
    "replication": "label_refinery/replication_printed.csv",
}
"""Every number that the papers print, one per line, by paper."""


def printed(paper: str, number: int) -> str:
    """A table as the paper prints it. Quoted: from another paper, not measured by the authors."""
    with (ROOT / "recipes" / PRINTED[paper]).open() as file:
        cells = [line for line in csv.DictReader(file) if line["table"] == str(number)]
    columns = list(dict.fromkeys(cell["column"] for cell in cells))
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        mark = " (quoted)" if cell["origin"] == "quoted" else ""
        rows.setdefault(cell["row"], {})[cell["column"]] = cell["value"] + mark
    lines = [[row, *(values.get(name, "") for name in columns)] for row, values in rows.items()]
    return markdown([["as printed", *(name.replace("_", " ") for name in columns)], *lines])


def gains_by_row(name: str) -> str:
    """The rows of a table.csv without a paper's numbers."""
    lines = [["row", "network", "test top-1", "gain", "gain over", "n"]]
    for row in load(name):
        row_id, model, _, ours, _, our_gain, *rest = paper_line(row)
        lines.append([row_id, model, ours, our_gain, *rest])
    return markdown(lines)


def replication(scale: str) -> str:
    """Test top-1 of the replication's three generations by row, and the gain of the last."""
    rows = load(f"replication-{scale}-runs")
    lines = [["row", "R0", "R1", "R2", "gain of R2 over R0", "n"]]
    table = load(f"replication-{scale}")
    for row in (each["row"] for each in table if each["stage"] == "r2" and int(each["n"])):
        found = [list(values(rows, row, name, "test_top1").values()) for name in ("r0", "r1", "r2")]
        cells = [percent(spread(each)) for each in found]
        lines.append([row, *cells, gain(rows, row, "r2", base="r0"), str(len(found[2]))])
    return markdown(lines)
