"""Measures of refiners beside the gains of those who learned from them: CSV, tables, ranks."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from tinyrefinery.files import write_csv
from tinyrefinery.pages.numbers import percent, signed
from tinyrefinery.statistics.paired import spread
from tinyrefinery.statistics.rank_correlation import RankCorrelation, rank_correlation

COLUMNS = (
    *("run", "row", "refiner", "seed", "model", "verdict", "place"),
    *(
        "truth_kl",
        "unseen_less_by_heart",
        "unseen_top1",
        "ahead",
        "ahead_error",
        "train_top1",
        "whole_top1",
    ),
    *("gap", "by_heart", "unseen_nll", "ece", "open_classes", "crops_differ"),
    *("student", "plain", "split", "student_top1", "plain_top1", "gain"),
)
VERDICTS = {"sound": 0, "with care": 1, "poor": 2}
SAID = {
    "truth_kl": ("KL to crop truth: the ranking's score where it is known", -1),
    "unseen_less_by_heart": ("unseen crops less by heart: the ranking's score elsewhere", 1),
    "verdict": ("the verdict", -1),
    "unseen_top1": ("top-1 on unseen crops", 1),
    "ahead": ("top-1 on unseen crops over who is to learn", 1),
    "whole_top1": ("top-1 on whole validation images", 1),
    "gap": ("gap", -1),
    "by_heart": ("by heart: gap as a share of training-crop top-1", -1),
    "unseen_nll": ("NLL on unseen crops", -1),
    "ece": ("calibration error on unseen crops", -1),
    "open_classes": ("open classes", 1),
    "crops_differ": ("crops differ", 1),
}
"""Measure -> what it is, and the sign with which more of it should go with a larger gain."""

Line = Mapping[str, Any]


def write_gains(path: Path, lines: Iterable[Line]) -> None:
    """Write lines as CSV with the columns `COLUMNS`; what a line doesn't have is empty."""
    write_csv(path, COLUMNS, lines)


def over_refiners(lines: Sequence[Line], column: str) -> dict[str, list[float]]:
    """A column's values by refiner and student, a value a seed; the verdict as 0, 1 or 2."""
    found: dict[str, list[float]] = {}
    for line in lines:
        value = line[column]
        if value is None or value == "":
            continue
        number = VERDICTS[value] if column == "verdict" else float(value)
        found.setdefault(_name(line), []).append(number)
    return found


def _name(line: Line) -> str:
    row = f" ({line['row']})" if line.get("row") else ""  # where that alone tells students apart
    return f"{line['refiner']} > {line['student']}{row}"


def foretold(lines: Sequence[Line], column: str) -> RankCorrelation | None:
    """Rank correlation of a measure with the gain, both means over seeds, refiner by refiner.

    The sign is that of what a refiner's measure ought to tell: 1 where it gives the order of gains.
    None where the measure isn't known, is the same for all, or there are fewer than three.
    """
    measure, gain = over_refiners(lines, column), over_refiners(lines, "gain")
    names = [name for name in gain if name in measure]
    values = [SAID[column][1] * float(np.mean(measure[name])) for name in names]
    return rank_correlation(np.array(values), np.array([np.mean(gain[name]) for name in names]))


def by_seed(lines: Sequence[Line], column: str) -> list[float]:
    """The same correlation within each seed; seeds without one are left out."""
    seeds = dict.fromkeys(line["seed"] for line in lines)
    found = [foretold([each for each in lines if each["seed"] == s], column) for s in seeds]
    return [each.rho for each in found if each is not None]


def in_order(lines: Sequence[Line]) -> list[str]:
    """Refiner and student, the largest mean gain first."""
    gains = over_refiners(lines, "gain")
    return sorted(gains, key=lambda name: -float(np.mean(gains[name])))


def verdicts_of(lines: Sequence[Line], name: str) -> str:
    """The verdicts of one refiner's seeds, e.g. "sound (2), with care (1)"."""
    said = [line["verdict"] for line in lines if _name(line) == name]
    counts = {grade: said.count(grade) for grade in VERDICTS if grade in said}
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{grade} ({count})" for grade, count in counts.items())


def gains_table(lines: Sequence[Line]) -> Table:
    """One line a refiner, the largest gain first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("refiner > student", "verdict"):
        table.add_column(name, overflow="fold")
    for name in ("gain", "unseen\ncrops", "gap", "truth\nKL", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    truth = over_refiners(lines, "truth_kl")
    for name in in_order(lines):
        gain, unseen, gap = (
            over_refiners(lines, column)[name] for column in ("gain", "unseen_top1", "gap")
        )
        kl = f"{np.mean(truth[name]):.2f}" if name in truth else ""
        cells = [signed(float(np.mean(gain))), percent(spread(unseen)), percent(spread(gap)), kl]
        table.add_row(escape(name), verdicts_of(lines, name), *cells, str(len(gain)))
    return table


def rank_lines(lines: Sequence[Line]) -> list[list[str]]:
    """A line a measure: what it is, rho with its p, and the range of rho within single seeds."""
    found = []
    for column, (what, _) in SAID.items():
        whole = foretold(lines, column)
        if whole is None:
            found.append([what, "the same for all, or not known", "", ""])
            continue
        single = by_seed(lines, column)
        span = f"{min(single):+.2f} to {max(single):+.2f}" if len(single) > 1 else ""
        found.append([what, f"{whole.rho:+.2f}", f"{whole.p:.3f}", span])
    return [[each.replace("-", "−") if i else each for i, each in enumerate(r)] for r in found]


def rank_table(lines: Sequence[Line]) -> Table:
    """How well each measure gives the order of the gains."""
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption="Spearman's rank correlation of means over seeds; p: share of all orders that do "
        "as well, two-sided. One refiner is one point: few of them prove little.",
        caption_justify="left",
    )
    table.add_column("what is said of a refiner", overflow="fold")
    for name in ("with the\ngain", "p", "single\nseeds"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in rank_lines(lines):
        table.add_row(*line)
    return table
