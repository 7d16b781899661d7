"""Finding weak slices, where a network makes more errors than elsewhere, as tests to paste.

Each column is divided into bins or values. Each bin, and each pair of bins of two columns, is a
candidate. After a search through thousands of slices, a weak slice is only a hypothesis. So a slice
must pass a Bonferroni-corrected binomial test, and it should be confirmed on new images.
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
from tinyrefinery.errors import DataTestError, did_you_mean
from tinyrefinery.statistics.proportions import wilson

BINS = 4
"""Bins of a numeric column, each with a quarter of its images."""
MOST_VALUES = 50
"""Text columns with more values (ids, paths) are left out."""
LEFT_OUT = ("id", "path", "split", "file_name")
LEVEL = 0.05
SAME = 0.6
"""Share of common images from which on two slices count as the same; our choice."""


@dataclass(frozen=True)
class Bins:
    """A column divided into bins."""

    codes: np.ndarray
    """(N,) int64, the number of each row's bin, -1 for NULL."""
    texts: tuple[str, ...]
    """SQL expression per bin."""


@dataclass(frozen=True)
class WeakSlice:
    """A slice with more errors than the rest."""

    where: str
    n: int
    errors: int
    overall: float
    """Error rate on all images."""
    p_value: float
    """Probability of as many errors in a random slice of this size, corrected for the number of
    candidates."""
    members: np.ndarray
    """(n,) bool, the slice among the chosen images."""

    @property
    def rate(self) -> float:
        """Error rate."""
        return self.errors / self.n


def weak_slices(
    rows: Rows, chosen: np.ndarray, wrong: np.ndarray, *, least: int = 50, most: int = 10
) -> list[WeakSlice]:
    """Find the weakest slices, by (error rate - overall error rate) * sqrt(n), without overlaps.

    Args:
        rows: the data.
        chosen: (N,) bool, the images to search.
        wrong: (N,) bool, the network's errors.
        least: smallest number of images in a slice.
        most: largest number of slices.
    """
    places = np.flatnonzero(chosen)
    errors = wrong[places]
    if not len(places) or not errors.any():
        return []
    table = rows.columns.take(pa.array(places))
    bins = [column for name in table.column_names if (column := _bins(table, name)) is not None]
    overall = float(errors.mean())
    candidates = list(_candidates(bins, errors, overall, least))
    weak = [c for c in candidates if c.p_value * len(candidates) < LEVEL]
    weak.sort(key=lambda c: -(c.errors / c.n - overall) * np.sqrt(c.n))
    kept: list[WeakSlice] = []
    for candidate in weak:
        members = np.logical_and.reduce([bins[b].codes == code for b, code in candidate.cells])
        if all(_overlap(members, other.members) < SAME for other in kept):
            where = " AND ".join(bins[b].texts[code] for b, code in candidate.cells)
            p_value = candidate.p_value * len(candidates)
            n, wrong_here = candidate.n, candidate.errors
            kept.append(WeakSlice(where, n, wrong_here, overall, p_value, members))
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
    """Not corrected."""


def _candidates(
    bins: Sequence[Bins], wrong: np.ndarray, overall: float, least: int
) -> Iterator[_Candidate]:
    """Bins and pairs of bins that are large enough."""
    for i, column in enumerate(bins):
        for code, n, errors, p in _cells(column.codes, len(column.texts), wrong, overall, least):
            yield _Candidate(((i, code),), n, errors, p)
    for i, j in combinations(range(len(bins)), 2):
        first, second = bins[i], bins[j]
        both = (first.codes >= 0) & (second.codes >= 0)
        codes = np.where(both, first.codes * len(second.texts) + second.codes, -1)
        size = len(first.texts) * len(second.texts)
        for code, n, errors, p in _cells(codes, size, wrong, overall, least):
            a, b = divmod(code, len(second.texts))
            yield _Candidate(((i, a), (j, b)), n, errors, p)


def _cells(
    codes: np.ndarray, size: int, wrong: np.ndarray, overall: float, least: int
) -> Iterator[tuple[int, int, int, float]]:
    """Code, size, errors and one-sided binomial p value of each cell that is large enough."""
    from scipy.special import bdtrc

    present = codes >= 0
    n = np.bincount(codes[present], minlength=size)
    errors = np.bincount(codes[present], weights=wrong[present], minlength=size).astype(np.int64)
    for code in np.flatnonzero((n >= least) & (n < len(codes))):
        k, total = int(errors[code]), int(n[code])
        p = float(bdtrc(k - 1, total, overall)) if k else 1.0
        yield int(code), total, k, p


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Common images as a share of the smaller slice, so that a part of a slice overlaps fully."""
    return float(np.count_nonzero(a & b) / min(np.count_nonzero(a), np.count_nonzero(b)))


def _bins(table: pa.Table, name: str) -> Bins | None:
    """A column's bins, or None if it can't be divided."""
    if name in LEFT_OUT:
        return None
    column = table.column(name)
    if pa.types.is_floating(column.type):
        return _number_bins(column, quoted(name))
    text = column.cast(pa.string()).combine_chunks().dictionary_encode()
    values = text.dictionary.to_pylist()
    if not 2 <= len(values) <= MOST_VALUES:
        return None
    codes = pc.fill_null(text.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_boolean(column.type):
        return Bins(codes, tuple(f"{quoted(name)} = {value.upper()}" for value in values))
    return Bins(codes, tuple(f"{quoted(name)} = {_text(value)}" for value in values))


def _number_bins(column: pa.ChunkedArray, name: str) -> Bins | None:
    """One bin per value if there are few, else quarters."""
    numbers = column.to_numpy(zero_copy_only=False).astype(np.float64)
    finite = np.isfinite(numbers)
    if not finite.any():
        return None
    values = np.unique(numbers[finite])
    if len(values) < 2:
        return None
    if len(values) <= 2 * BINS:
        codes = np.where(finite, np.searchsorted(values, np.nan_to_num(numbers)), -1)
        return Bins(codes, tuple(f"{name} = {value:.12g}" for value in values))
    cuts = np.quantile(numbers[finite], np.arange(1, BINS) / BINS)
    cuts = np.unique([float(f"{cut:.3g}") for cut in cuts])
    codes = np.where(finite, np.searchsorted(cuts, np.nan_to_num(numbers), side="right"), -1)
    inner = [f"{name} >= {a:.12g} AND {name} < {b:.12g}" for a, b in pairwise(cuts)]
    return Bins(codes, (f"{name} < {cuts[0]:.12g}", *inner, f"{name} >= {cuts[-1]:.12g}"))


def quoted(name: str) -> str:
    """A column's name for an expression, quoted if needed, e.g. for a keyword of SQL."""
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
    """Weak slices as tests to paste. The bound is the accuracy on all images."""
    lines = ["tests:"]
    for number, weak in enumerate(slices, 1):
        low, high = wilson(weak.errors, weak.n, confidence)
        accuracy = np.floor(100 * (1 - weak.overall)).item() / 100  # rounded down to two digits
        body = {"where": weak.where, "metric": "accuracy", "at_least": accuracy}
        text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=1000)
        lines.append(
            f"  # {weak.errors} of {weak.n} wrong: {weak.rate:.1%} [{low:.1%}, {high:.1%}], "
            f"against {weak.overall:.1%} of all images, p = {weak.p_value:.2g}"
        )
        lines.append(f"  weak_{number}:")
        lines += [f"    {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n"


HERE = Path(__file__).parent / "templates"


def template_names() -> list[str]:
    """Names of the templates of data-test files."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def template_text(name: str) -> str:
    """The text of a template.

    Raises:
        DataTestError: when the name is unknown.
    """
    names = template_names()
    if name not in names:
        raise DataTestError(
            f"no template is named '{name}'.{did_you_mean(name, names)} "
            f"Templates: {', '.join(names)}"
        )
    return (HERE / f"{name}.yaml").read_text("utf-8")
