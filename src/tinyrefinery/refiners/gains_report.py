"""Reporting measures of refiners with the gains of their students: CSV, tables, correlations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import percent, signed
from tinyrefinery.pages.plain_table import plain_table
from tinyrefinery.statistics.paired import spread
from tinyrefinery.statistics.rank_correlation import RankCorrelation, rank_correlation

COLUMNS = (
    *("run", "row", "refiner", "seed", "model", "verdict", "place"),
    *(
        "truth_kl",
        "unseen_less_gap",
        "unseen_top1",
        "ahead",
        "ahead_error",
        "train_top1",
        "whole_top1",
    ),
    *("gap", "memorized", "unseen_nll", "ece", "open_classes", "crops_differ"),
    *("student", "plain", "split", "student_top1", "plain_top1", "gain"),
)
VERDICTS = {"sound": 0, "with care": 1, "poor": 2}
MEASURES = {
    "truth_kl": ("KL to true crop labels (the score of the ranking, if known)", -1),
    "unseen_less_gap": ("top-1 on unseen crops minus gap (the score otherwise)", 1),
    "verdict": ("verdict", -1),
    "unseen_top1": ("top-1 on unseen crops", 1),
    "ahead": ("top-1 on unseen crops minus the student's", 1),
    "whole_top1": ("top-1 on whole validation images", 1),
    "gap": ("gap", -1),
    "memorized": ("memorized: gap as a share of top-1 on training crops", -1),
    "unseen_nll": ("NLL on unseen crops", -1),
    "ece": ("calibration error on unseen crops", -1),
    "open_classes": ("effective classes", 1),
    "crops_differ": ("crops that differ", 1),
}
"""Measure -> description, and the expected sign of its correlation with the gain."""

Line = Mapping[str, Any]


def values_by_pair(lines: Sequence[Line], column: str) -> dict[str, list[float]]:
    """A column's values by refiner and student, one per seed. Verdicts become 0, 1 or 2."""
    values: dict[str, list[float]] = {}
    for line in lines:
        value = line[column]
        if value is None or value == "":
            continue
        number = VERDICTS[value] if column == "verdict" else float(value)
        values.setdefault(_name(line), []).append(number)
    return values


def _name(line: Line) -> str:
    row = f" ({line['row']})" if line.get("row") else ""  # if only the row distinguishes students
    return f"{line['refiner']} > {line['student']}{row}"


def correlation_with_gain(lines: Sequence[Line], column: str) -> RankCorrelation | None:
    """Rank correlation of a measure with the gain, over pairs of refiner and student.

    Both are means over seeds. The sign is relative to the expected one: 1 if the measure predicts
    the order of the gains. None if the measure is missing, is constant, or there are fewer than
    three pairs.
    """
    measure, gain = values_by_pair(lines, column), values_by_pair(lines, "gain")
    names = [name for name in gain if name in measure]
    values = [MEASURES[column][1] * float(np.mean(measure[name])) for name in names]
    return rank_correlation(np.array(values), np.array([np.mean(gain[name]) for name in names]))


def correlations_by_seed(lines: Sequence[Line], column: str) -> list[float]:
    """The same correlation within each seed, without seeds that have none."""
    by_seed: dict[Any, list[Line]] = {}
    for line in lines:
        by_seed.setdefault(line["seed"], []).append(line)
    correlations = [correlation_with_gain(of_seed, column) for of_seed in by_seed.values()]
    return [correlation.rho for correlation in correlations if correlation is not None]


def pairs_by_gain(lines: Sequence[Line]) -> list[str]:
    """Pairs of refiner and student, the largest mean gain first."""
    gains = values_by_pair(lines, "gain")
    return sorted(gains, key=lambda name: -float(np.mean(gains[name])))


def verdicts_of(lines: Sequence[Line], name: str) -> str:
    """The verdicts of one pair over seeds, e.g. "sound (2), with care (1)"."""
    verdicts = [line["verdict"] for line in lines if _name(line) == name]
    counts = {grade: verdicts.count(grade) for grade in VERDICTS if grade in verdicts}
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{grade} ({count})" for grade, count in counts.items())


def gains_table(lines: Sequence[Line]) -> FittedTable:
    """One line per refiner and student, the largest gain first."""
    numbers = ("gain", "unseen\ncrops", "gap", "truth\nKL", "n")
    table = plain_table({"refiner > student": None, "verdict": None}, numbers)
    truth = values_by_pair(lines, "truth_kl")
    for name in pairs_by_gain(lines):
        gain, unseen, gap = (
            values_by_pair(lines, column)[name] for column in ("gain", "unseen_top1", "gap")
        )
        kl = f"{np.mean(truth[name]):.2f}" if name in truth else ""
        cells = [signed(float(np.mean(gain))), percent(spread(unseen)), percent(spread(gap)), kl]
        table.add_row(escape(name), verdicts_of(lines, name), *cells, str(len(gain)))
    return table


def rank_lines(lines: Sequence[Line]) -> list[list[str]]:
    """One line per measure: description, rho, its p, and the range of rho over single seeds."""
    rows = []
    for column, (description, _) in MEASURES.items():
        correlation = correlation_with_gain(lines, column)
        if correlation is None:
            rows.append([description, "constant or unknown", "", ""])
            continue
        by_seed = correlations_by_seed(lines, column)
        span = f"{min(by_seed):+.2f} to {max(by_seed):+.2f}" if len(by_seed) > 1 else ""
        numbers = (f"{correlation.rho:+.2f}", f"{correlation.p:.3f}", span)
        rows.append([description, *(number.replace("-", "−") for number in numbers)])
    return rows


def rank_table(lines: Sequence[Line]) -> FittedTable:
    """How well each measure predicts the order of the gains."""
    table = plain_table(
        {"measure of the refiner": None},
        ("correlation\nwith gain", "p", "single\nseeds"),
        "Spearman's rank correlation of means over seeds. p: share of all orders that correlate "
        "as well, two-sided. One refiner is one point: few of them prove little.",
    )
    for line in rank_lines(lines):
        table.add_row(*line)
    return table
