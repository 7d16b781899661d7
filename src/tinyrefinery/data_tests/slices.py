"""Slices: which rows of a data set a test is about."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from tinyrefinery.data.arrow import pc
from tinyrefinery.data.overlay.decisions import AUTO
from tinyrefinery.data_tests.rows import Rows, endings
from tinyrefinery.data_tests.schema import DataTest, Suite
from tinyrefinery.data_tests.where import parse
from tinyrefinery.errors import DataTestError

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def choose(test: DataTest, suite: Suite, rows: Rows, home: Path) -> np.ndarray:
    """Rows of a test's slice, (N,) bool; images that stand there twice are taken once.

    Args:
        test: whose slice.
        suite: gives the defaults.
        rows: the data.
        home: folder that a list's path starts from.

    Raises:
        DataTestError: when no image is left, a column is unknown, or a list names an image that the
            data doesn't have.
    """
    split = suite.setting(test, "split")
    chosen = np.ones(len(rows.labels), bool)
    if split != "any":
        chosen = pc.equal(rows.columns.column("split"), split).to_numpy(zero_copy_only=False)
    steps = [f"{np.count_nonzero(chosen):,} in split '{split}'"]
    if not chosen.any():
        raise DataTestError(f"the slice is empty: {steps[0]}; {_where_images_are(rows)}")
    if test.images:
        chosen = chosen & matching(rows.columns, test.images)
        steps.append(f"{np.count_nonzero(chosen):,} of them under {', '.join(test.images)}")
    if test.list is not None:
        chosen = chosen & listed(rows.columns, home / test.list)
        steps.append(f"{np.count_nonzero(chosen):,} of them in {test.list}")
    if test.where is not None:
        chosen = chosen & parse(test.where).rows(rows.columns, rows.computable)
        steps.append(f"{np.count_nonzero(chosen):,} of them where {test.where}")
    if not _speaks_of(test, "verdict"):
        left = chosen & ~_is(rows.columns, "verdict", "too_hard")
        if not np.array_equal(left, chosen):
            steps.append(f"{np.count_nonzero(left):,} of them not found too hard")
        chosen = left
    if not chosen.any():
        raise DataTestError(f"the slice is empty: {', '.join(steps)}")
    if not suite.setting(test, "auto_labels"):
        _refuse_auto_labels(chosen, rows)
    return _once(chosen, rows)


def _where_images_are(rows: Rows) -> str:
    """What splits there are, and how to ask for one of them."""
    found = pc.value_counts(rows.columns.column("split")).to_pylist()
    told = ", ".join(f"{each['counts']:,} in '{each['values']}'" for each in found)
    return f"the data has {told or 'none at all'}; set split in the test, or under defaults"


def _speaks_of(test: DataTest, column: str) -> bool:
    return test.where is not None and column in parse(test.where).columns


def _is(columns: pa.Table, name: str, value: str) -> np.ndarray:
    """Rows with a text in a column, (N,) bool; none where there is no such column of text."""
    if name not in columns.column_names or not pa.types.is_string(columns.schema.field(name).type):
        return np.zeros(columns.num_rows, bool)
    return pc.fill_null(pc.equal(columns.column(name), value), False).to_numpy(zero_copy_only=False)


def _refuse_auto_labels(chosen: np.ndarray, rows: Rows) -> None:
    """Raise where a label of the slice was given by a network."""
    columns, name = rows.columns, "label_source"
    if name not in columns.column_names or not pa.types.is_string(columns.schema.field(name).type):
        return
    auto = pc.fill_null(pc.starts_with(columns.column(name), AUTO), False)
    count = int(np.count_nonzero(chosen & auto.to_numpy(zero_copy_only=False)))
    if count:
        raise DataTestError(
            f"{count:,} of the slice's {np.count_nonzero(chosen):,} labels were given by a network "
            "and seen by nobody (label_source begins with 'auto:'); review them, leave them out "
            "with where: label_source NOT LIKE 'auto:%', or set auto_labels: true"
        )


def _once(chosen: np.ndarray, rows: Rows) -> np.ndarray:
    """The first of equal images with equal labels; copies would feign a larger slice."""
    places = np.flatnonzero(chosen)
    ids = rows.columns.column("id").take(pa.array(places)).combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    pairs = codes * len(rows.classes) + rows.labels[places]
    kept = np.zeros_like(chosen)
    kept[places[np.unique(pairs, return_index=True)[1]]] = True
    return kept


def matching(columns: pa.Table, patterns: tuple[str, ...]) -> np.ndarray:
    """Rows whose path lies in a folder, or fits a pattern (`*`, `**`, `?`), (N,) bool.

    A pattern begins at any folder of the path, so that data may lie anywhere.
    """
    paths = pc.replace_substring(columns.column("path"), "\\", "/")
    found = [pc.match_substring_regex(paths, _regex(each)) for each in patterns]
    return np.logical_or.reduce([each.to_numpy(zero_copy_only=False) for each in found])


def _regex(pattern: str) -> str:
    """The regular expression of a pattern."""
    plain = pattern.replace("\\", "/").removeprefix("./").rstrip("/")
    if not re.search(r"[*?]", plain):
        return f"(^|/){re.escape(plain)}(/|$)"
    parts = []
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", plain):
        known = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        parts.append(known.get(part, re.escape(part)))
    return f"(^|/){''.join(parts)}$"


def listed(columns: pa.Table, file: Path) -> np.ndarray:
    """Rows that a file names by id or path, one a line; `#` begins a remark; (N,) bool.

    Raises:
        DataTestError: when the file can't be read, is empty, or names an image that isn't there.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataTestError(f"list {file}: can't be read ({error})") from error
    names = {line for line in lines if line}
    if not names:
        raise DataTestError(f"list {file}: names no image")
    wanted = {match[1]: name for name in names if (match := _ID.fullmatch(name))}
    ids, paths = columns.column("id").to_pylist(), columns.column("path").to_pylist()
    by_path = endings(paths, names - set(wanted.values()))
    known = {wanted[id] for id in ids if id in wanted} | set(by_path.values())
    if missing := sorted(names - known):
        raise DataTestError(
            f"list {file}: {len(missing)} of {len(names)} images are not in the data, first "
            f"'{missing[0]}'"
        )
    pairs = zip(ids, paths, strict=True)
    return np.array([id in wanted or path in by_path for id, path in pairs], bool)
