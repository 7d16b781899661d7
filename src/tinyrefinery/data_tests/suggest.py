"""Weak slices: where a network errs more often than elsewhere, as tests to paste.

Every column is cut into bins or taken value by value; each bin, and each pair of bins of two
columns, is a candidate. What is found by looking at thousands of slices is a hypothesis, so only
those stay whose excess a Bonferroni-corrected binomial test shows, and each should be confirmed on
new images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from tinyrefinery.data.arrow import pc
from tinyrefinery.data_tests.rows import Rows
from tinyrefinery.errors import DataTestError
from tinyrefinery.names import did_you_mean
from tinyrefinery.statistics.proportions import wilson

BINS = 4
"""Bins of a numeric column: quarters of its images."""
MOST_VALUES = 50
"""A text column with more values (ids, paths) is left out."""
LEFT_OUT = ("id", "path", "split", "file_name")
LEVEL = 0.05
SAME = 0.6
"""Share of common images from which on two slices count as one; our choice."""


@dataclass(frozen=True)
class Bins:
    """A column cut into bins."""

    codes: np.ndarray
    """(N,) int64, -1 where it is NULL."""
    texts: tuple[str, ...]
    """The SQL expression of each bin."""


@dataclass(frozen=True)
class WeakSlice:
    """A slice with more errors than the rest."""

    where: str
    n: int
    errors: int
    overall: float
    """Share of errors in all images."""
    p_value: float
    """That a random slice of this size has as many errors, corrected for the slices looked at."""
    members: np.ndarray

    @property
    def rate(self) -> float:
        """Share of errors."""
        return self.errors / self.n


def weak_slices(
    rows: Rows, chosen: np.ndarray, wrong: np.ndarray, *, least: int = 50, most: int = 10
) -> list[WeakSlice]:
    """The weakest slices, by (error - overall error) * sqrt(n), without those that overlap.

    Args:
        rows: the data.
        chosen: (N,) bool, the images to look at.
        wrong: (N,) bool, the network's errors.
        least: images that a slice must have.
        most: slices to give.
    """
    places = np.flatnonzero(chosen)
    mistakes = wrong[places]
    if not len(places) or not mistakes.any():
        return []
    table = rows.columns.take(pa.array(places))
    bins = [each for name in table.column_names if (each := _binned(table, name)) is not None]
    overall = float(mistakes.mean())
    candidates = list(_candidates(bins, mistakes, overall, least))
    found = [each for each in candidates if _corrected(each, len(candidates)) < LEVEL]
    found.sort(key=lambda c: -(c.errors / c.n - overall) * np.sqrt(c.n))
    kept: list[WeakSlice] = []
    for each in found:
        members = np.logical_and.reduce([bins[b].codes == code for b, code in each.cells])
        if all(_overlap(members, other.members) < SAME for other in kept):
            where = " AND ".join(bins[b].texts[code] for b, code in each.cells)
            p_value = _corrected(each, len(candidates))
            kept.append(WeakSlice(where, each.n, each.errors, overall, p_value, members))
        if len(kept) == most:
            break
    return kept


@dataclass(frozen=True)
class _Candidate:
    cells: tuple[tuple[int, int], ...]
    """(number of the column, number of its bin), one or two."""
    n: int
    errors: int
    p_value: float


def _corrected(candidate: _Candidate, looked_at: int) -> float:
    return min(1.0, candidate.p_value * looked_at)


def _candidates(
    bins: Sequence[Bins], wrong: np.ndarray, overall: float, least: int
) -> Iterator[_Candidate]:
    """Bins and pairs of bins that are large enough."""
    for i, one in enumerate(bins):
        for code, n, errors, p in _cells(one.codes, len(one.texts), wrong, overall, least):
            yield _Candidate(((i, code),), n, errors, p)
    for i, j in combinations(range(len(bins)), 2):
        one, two = bins[i], bins[j]
        both = (one.codes >= 0) & (two.codes >= 0)
        codes = np.where(both, one.codes * len(two.texts) + two.codes, -1)
        size = len(one.texts) * len(two.texts)
        for code, n, errors, p in _cells(codes, size, wrong, overall, least):
            a, b = divmod(code, len(two.texts))
            yield _Candidate(((i, a), (j, b)), n, errors, p)


def _cells(
    codes: np.ndarray, size: int, wrong: np.ndarray, overall: float, least: int
) -> Iterator[tuple[int, int, int, float]]:
    """Code, size, errors and one-sided binomial p value of each cell that is large enough."""
    from scipy.special import bdtrc

    known = codes >= 0
    n = np.bincount(codes[known], minlength=size)
    errors = np.bincount(codes[known], weights=wrong[known], minlength=size).astype(np.int64)
    for code in np.flatnonzero((n >= least) & (n < len(codes))):
        k, total = int(errors[code]), int(n[code])
        p = float(bdtrc(k - 1, total, overall)) if k else 1.0
        yield int(code), total, k, p


def _overlap(one: np.ndarray, two: np.ndarray) -> float:
    """Common images over the smaller slice: a part of a slice says nothing new."""
    return float(np.count_nonzero(one & two) / min(np.count_nonzero(one), np.count_nonzero(two)))


def _binned(table: pa.Table, name: str) -> Bins | None:
    """A column's bins; None where there is nothing to cut."""
    if name in LEFT_OUT:
        return None
    column = table.column(name)
    if pa.types.is_floating(column.type):
        return _quarters(column, quoted(name))
    text = column.cast(pa.string()).combine_chunks().dictionary_encode()
    values = text.dictionary.to_pylist()
    if not 2 <= len(values) <= MOST_VALUES:
        return None
    codes = pc.fill_null(text.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_boolean(column.type):
        return Bins(codes, tuple(f"{quoted(name)} = {value.upper()}" for value in values))
    return Bins(codes, tuple(f"{quoted(name)} = {_text(value)}" for value in values))


def _quarters(column: pa.ChunkedArray, name: str) -> Bins | None:
    numbers = column.to_numpy(zero_copy_only=False).astype(np.float64)
    known = np.isfinite(numbers)
    if not known.any():
        return None
    values = np.unique(numbers[known])
    if len(values) < 2:
        return None
    if len(values) <= 2 * BINS:
        codes = np.where(known, np.searchsorted(values, np.nan_to_num(numbers)), -1)
        return Bins(codes, tuple(f"{name} = {value:.12g}" for value in values))
    cuts = np.quantile(numbers[known], np.arange(1, BINS) / BINS)
    cuts = np.unique([float(f"{cut:.3g}") for cut in cuts])
    codes = np.where(known, np.searchsorted(cuts, np.nan_to_num(numbers), side="right"), -1)
    inner = [f"{name} >= {a:.12g} AND {name} < {b:.12g}" for a, b in pairwise(cuts)]
    return Bins(codes, (f"{name} < {cuts[0]:.12g}", *inner, f"{name} >= {cuts[-1]:.12g}"))


def quoted(name: str) -> str:
    """A column's name as an expression writes it; quoted, as it may be a word of SQL."""
    from sqlglot import exp

    return name if name.isidentifier() and _is_plain(name) else exp.to_identifier(name, True).sql()


def _is_plain(name: str) -> bool:
    from tinyrefinery.data_tests.where import parse
    from tinyrefinery.errors import DataTestError

    try:
        return parse(f"{name} = 1").columns == (name,)
    except DataTestError:
        return False


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def as_yaml(slices: Sequence[WeakSlice], confidence: float = 0.95) -> str:
    """Weak slices as tests to paste; each is asked to become as good as the rest."""
    lines = ["tests:"]
    for number, each in enumerate(slices, 1):
        low, high = wilson(each.errors, each.n, confidence)
        body = {"where": each.where, "metric": "accuracy", "at_least": _goal(each.overall)}
        text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=1000)
        lines.append(
            f"  # {each.errors} of {each.n} wrong: {each.rate:.1%} [{low:.1%}, {high:.1%}], "
            f"of all images {each.overall:.1%}; p = {each.p_value:.2g}"
        )
        lines.append(f"  weak_{number}:")
        lines += [f"    {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def _goal(error: float) -> float:
    """The accuracy of all images, cut to two digits."""
    return np.floor(100 * (1 - error)).item() / 100


HERE = Path(__file__).parent / "templates"


def template_names() -> list[str]:
    """Names of the templates."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def template_text(name: str) -> str:
    """The text of a template.

    Raises:
        DataTestError: when there is none of that name.
    """
    names = template_names()
    if name not in names:
        raise DataTestError(
            f"no template is named '{name}'.{did_you_mean(name, names)} Known: {', '.join(names)}"
        )
    return (HERE / f"{name}.yaml").read_text("utf-8")
