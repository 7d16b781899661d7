"""Slices: selecting the rows of a dataset for a test."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from tinyrefinery.data.arrow import pc
from tinyrefinery.data.overlay.decisions import AUTO
from tinyrefinery.data_tests.data_test_file import DataTest, Suite
from tinyrefinery.data_tests.rows import Rows, endings
from tinyrefinery.data_tests.where import parse
from tinyrefinery.errors import DataTestError
from tinyrefinery.reading.json_text import read_text

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def choose(test: DataTest, suite: Suite, rows: Rows, home: Path) -> np.ndarray:
    """Select the rows of a test's slice, (N,) bool. Identical images are taken once.

    Args:
        test: the test.
        suite: has the defaults.
        rows: the data.
        home: folder that a list's path is relative to.

    Raises:
        DataTestError: when the slice is empty, a column is unknown, or a list names an image that
            is not in the data.
    """
    split = suite.setting(test, "split")
    chosen = np.ones(len(rows.labels), bool)
    if split != "any":
        chosen = pc.equal(rows.columns.column("split"), split).to_numpy(zero_copy_only=False)
    steps = [f"{np.count_nonzero(chosen):,} in split '{split}'"]
    if not chosen.any():
        raise DataTestError(f"the slice is empty: {steps[0]}. {_split_counts(rows)}")
    if test.images:
        chosen = chosen & matching(rows.columns, test.images)
        steps.append(f"{np.count_nonzero(chosen):,} of them under {', '.join(test.images)}")
    if test.list is not None:
        chosen = chosen & listed(rows.columns, home / test.list)
        steps.append(f"{np.count_nonzero(chosen):,} of them in {test.list}")
    if test.where is not None:
        chosen = chosen & parse(test.where).rows(rows.columns, rows.computable)
        steps.append(f"{np.count_nonzero(chosen):,} of them where {test.where}")
    if test.where is None or "verdict" not in parse(test.where).columns:
        kept = chosen & ~_too_hard(rows.columns)
        if not np.array_equal(kept, chosen):
            steps.append(f"{np.count_nonzero(kept):,} of them not too hard")
        chosen = kept
    if not chosen.any():
        raise DataTestError(f"the slice is empty: {', '.join(steps)}")
    if not suite.setting(test, "auto_labels"):
        _refuse_auto_labels(chosen, rows)
    return _without_copies(chosen, rows)


def _split_counts(rows: Rows) -> str:
    """Images per split, and how to select another one."""
    values = pc.value_counts(rows.columns.column("split")).to_pylist()
    counts = ", ".join(f"{value['counts']:,} in '{value['values']}'" for value in values)
    return f"The data has {counts or 'no images'}: set split in the test or under defaults"


def _text_column(columns: pa.Table, name: str) -> pa.ChunkedArray | None:
    if name not in columns.column_names or not pa.types.is_string(columns.schema.field(name).type):
        return None
    return columns.column(name)


def _too_hard(columns: pa.Table) -> np.ndarray:
    """Rows that reviewers found too hard, (N,) bool."""
    verdicts = _text_column(columns, "verdict")
    if verdicts is None:
        return np.zeros(columns.num_rows, bool)
    return pc.fill_null(pc.equal(verdicts, "too_hard"), False).to_numpy(zero_copy_only=False)


def _refuse_auto_labels(chosen: np.ndarray, rows: Rows) -> None:
    """Raise if any label of the slice was predicted by a network and not reviewed."""
    sources = _text_column(rows.columns, "label_source")
    if sources is None:
        return
    auto = pc.fill_null(pc.starts_with(sources, AUTO), False)
    count = int(np.count_nonzero(chosen & auto.to_numpy(zero_copy_only=False)))
    if count:
        raise DataTestError(
            f"{count:,} of the slice's {np.count_nonzero(chosen):,} labels were predicted by a "
            "network and not reviewed (label_source begins with 'auto:'): review them, leave them "
            "out with where: label_source NOT LIKE 'auto:%', or set auto_labels: true"
        )


def _without_copies(chosen: np.ndarray, rows: Rows) -> np.ndarray:
    """Keep the first of identical images with equal labels: copies are no further evidence."""
    places = np.flatnonzero(chosen)
    ids = rows.columns.column("id").take(pa.array(places)).combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    pairs = codes * len(rows.classes) + rows.labels[places]
    kept = np.zeros_like(chosen)
    kept[places[np.unique(pairs, return_index=True)[1]]] = True
    return kept


def matching(columns: pa.Table, patterns: tuple[str, ...]) -> np.ndarray:
    """Select rows by folder or pattern (`*`, `**`, `?`) of their path, (N,) bool.

    A pattern may start at any folder of the path, so it does not depend on where the data is.
    """
    paths = pc.replace_substring(columns.column("path"), "\\", "/")
    matches = [pc.match_substring_regex(paths, _regex(pattern)) for pattern in patterns]
    return np.logical_or.reduce([rows.to_numpy(zero_copy_only=False) for rows in matches])


def _regex(pattern: str) -> str:
    """The regular expression of a pattern."""
    plain = pattern.replace("\\", "/").removeprefix("./").rstrip("/")
    if not re.search(r"[*?]", plain):
        return f"(^|/){re.escape(plain)}(/|$)"
    wildcards = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", plain)
    return f"(^|/){''.join(wildcards.get(part, re.escape(part)) for part in parts)}$"


def listed(columns: pa.Table, file: Path) -> np.ndarray:
    """Select the rows that a file lists by id or path, one per line, (N,) bool.

    Text after `#` is a comment.

    Raises:
        DataTestError: when the file can't be read, is empty, or names an unknown image.
    """
    text = read_text(file, error=DataTestError)
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    names = {line for line in lines if line}
    if not names:
        raise DataTestError(f"list {file}: has no image: write one id or path per line")
    by_id = {match[1]: name for name in names if (match := _ID.fullmatch(name))}
    ids, paths = columns.column("id").to_pylist(), columns.column("path").to_pylist()
    by_path = endings(paths, names - set(by_id.values()))
    present = {by_id[id] for id in ids if id in by_id} | set(by_path.values())
    if missing := sorted(names - present):
        raise DataTestError(
            f"list {file}: {len(missing)} of {len(names)} images are not in the data, first "
            f"'{missing[0]}'"
        )
    pairs = zip(ids, paths, strict=True)
    return np.array([id in by_id or path in by_path for id, path in pairs], bool)
