"""Label quality as a CSV file and a table with one line per kind of label, mean over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.plain_table import plain_table
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


def over_seeds(lines: Sequence[Line], measure: str = "kl", **values: Any) -> Spread | None:
    """Mean, standard deviation and n over seeds of the lines with these values, or None."""
    by_seed = {
        str(line.get("seed")): float(line[measure])
        for line in lines
        if all(_text(line.get(name)) == _text(value) for name, value in values.items())
    }
    return spread(list(by_seed.values())) if by_seed else None


def table_keys(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The distinct facts that identify a line of the table, in order."""
    names = ("basis", "split", "run", "row", "stage", "batch_norm", "bn_group")
    distinct = dict.fromkeys(tuple(_text(line.get(name)) for name in names) for line in lines)
    return [dict(zip(names, values, strict=True)) for values in distinct]


def quality_table(lines: Sequence[Line], basis: str, measure: str = "kl") -> FittedTable:
    """One line per network and batch-norm mode, one column per level, soft and hard."""
    table = plain_table(
        {"labels": 9, "BN": 7},
        [*(f"{form}\n{level}" for form, level in KINDS), "n"],
        f"{measure.replace('_', ' ')} to {basis} in nats, mean ± standard deviation over n seeds",
    )
    several = len({line.get("run") for line in lines if line.get("run")}) > 1
    for key in (key for key in table_keys(lines) if key["basis"] == basis):
        kinds = [over_seeds(lines, measure, **key, form=f, level=k) for f, k in KINDS]
        given = over_seeds(lines, measure, **key) if not key["batch_norm"] else None
        cells = [_cell(value) for value in ([given, *kinds[1:]] if given else kinds)]
        n = next(value.n for value in (given, *kinds) if value is not None)
        run = key["run"] if several else ""
        name = escape(" ".join(filter(None, (run, key["row"], key["stage"]))))
        table.add_row(name, f"{key['batch_norm']} {key['bn_group']}".strip(), *cells, str(n))
    return table


def _cell(value: Spread | None) -> str:
    if value is None:
        return ""
    return f"{value.mean:.2f}" + ("" if value.std is None else f"±{value.std:.2f}")


def _text(value: Any) -> str:
    return "" if value is None else str(value)
