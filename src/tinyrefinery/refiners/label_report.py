"""Label quality as a CSV file and a table: one line a kind of label, mean over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from tinyrefinery.files import write_csv
from tinyrefinery.statistics.paired import Spread, spread

COLUMNS = (
    *("basis", "split", "run", "row", "stage", "seed", "generation", "model"),
    *("batch_norm", "bn_group", "level", "form"),
    *("n", "kl", "cross_entropy", "total_variation", "top1_agreement"),
    *("entropy", "truth_entropy", "floor"),
)
KINDS = (
    *(("soft", "crop"), ("hard", "crop"), ("soft", "image"), ("hard", "image")),
    *(("soft", "category"),),
)
"""Form and level of the table's columns."""

Line = Mapping[str, Any]


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    """Write lines as CSV with the columns `COLUMNS`; what a line doesn't have is empty."""
    write_csv(path, COLUMNS, lines)


def over_seeds(lines: Sequence[Line], measure: str = "kl", **which: Any) -> Spread | None:
    """Mean, standard deviation and n over seeds of the lines with these values; None: no line."""
    found = {
        str(line.get("seed")): float(line[measure])
        for line in lines
        if all(_text(line.get(name)) == _text(value) for name, value in which.items())
    }
    return spread(list(found.values())) if found else None


def ways(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """What tells the table's lines apart, in the order in which they came."""
    names = ("basis", "split", "run", "row", "stage", "batch_norm", "bn_group")
    found = dict.fromkeys(tuple(_text(line.get(name)) for name in names) for line in lines)
    return [dict(zip(names, each, strict=True)) for each in found]


def quality_table(lines: Sequence[Line], basis: str, measure: str = "kl") -> Table:
    """One line a network and batch-norm mode, a column a level, soft and hard."""
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption=f"{measure.replace('_', ' ')} against {basis} in nats, mean ± standard deviation "
        "over n seeds",
        caption_justify="left",
    )
    table.add_column("labels", overflow="fold", min_width=9)
    table.add_column("BN", overflow="fold", min_width=7)
    for form, level in KINDS:
        table.add_column(f"{form}\n{level}", justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    several = len({line.get("run") for line in lines if line.get("run")}) > 1
    for way in (each for each in ways(lines) if each["basis"] == basis):
        found = [over_seeds(lines, measure, **way, form=f, level=k) for f, k in KINDS]
        given = over_seeds(lines, measure, **way) if not way["batch_norm"] else None
        cells = [_cell(each) for each in ([given, *found[1:]] if given else found)]
        count = next(each.n for each in (given, *found) if each is not None)
        of = way["run"] if several else ""
        name = escape(" ".join(filter(None, (of, way["row"], way["stage"]))))
        table.add_row(name, f"{way['batch_norm']} {way['bn_group']}".strip(), *cells, str(count))
    return table


def _cell(value: Spread | None) -> str:
    if value is None:
        return ""
    return f"{value.mean:.2f}" + ("" if value.std is None else f"±{value.std:.2f}")


def _text(value: Any) -> str:
    return "" if value is None else str(value)
