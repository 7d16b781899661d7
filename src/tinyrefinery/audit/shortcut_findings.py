"""Shortcuts as findings: in words, with pictures, with what the network makes of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tinyrefinery.audit.association import Associations, Column
from tinyrefinery.audit.finding import Finding, Strip
from tinyrefinery.audit.model_use import Use, use_of
from tinyrefinery.audit.shortcuts import Shortcut, sql_quoted
from tinyrefinery.data.dataset import Dataset

_SHOWN = 10  # pictures a strip
_STRIPS = 6  # classes
MOST = 20  # findings spelled out; the others are in one line


@dataclass(frozen=True)
class Judged:
    """Images that a network was asked about."""

    columns: Sequence[Column]
    """Of n images."""
    rows: np.ndarray
    """(n,) manifest rows."""
    labels: np.ndarray
    """(n,)."""
    predicted: np.ndarray
    """(n,)."""
    title: str
    """Network and split, in words."""


@dataclass(frozen=True)
class Elsewhere:
    """Labelled reference images under the same classes."""

    columns: Sequence[Column]
    labels: np.ndarray


def shortcut_findings(
    dataset: Dataset,
    rows: np.ndarray,
    columns: Sequence[Column],
    shortcuts: Sequence[Shortcut],
    judged: Judged | None = None,
    elsewhere: Elsewhere | None = None,
) -> list[Finding]:
    """A finding a shortcut.

    Args:
        dataset: what was audited.
        rows: (N,) manifest rows that the shortcuts were found in.
        columns: their properties.
        shortcuts: as `find_shortcuts` gives them.
        judged: a network's answers; None where there is none.
        elsewhere: labelled images of the device; None where there are none.
    """
    values = {column.name: column.values for column in columns}
    found = []
    for each in shortcuts:
        use = None if judged is None else _use(each, judged)
        there = None if elsewhere is None else _share_elsewhere(each, elsewhere)
        found.append(_finding(dataset, rows, values[each.cue.column], each, use, judged, there))
    open_ones = [each for each in found if each.severity != "accepted"]
    rest = open_ones[MOST:]
    if rest:
        kept = [each for each in found if each not in rest]
        title = f"{len(rest)} weaker shortcuts, first {rest[0].where}"
        kept.append(
            Finding(
                "shortcut",
                "note",
                title,
                rest[0].where,
                "judge the stronger ones first",
                len(rest),
                facts={"weaker": [each.facts for each in rest]},
            )
        )
        return kept
    return found


def _finding(
    dataset: Dataset,
    rows: np.ndarray,
    values: np.ndarray,
    each: Shortcut,
    use: Use | None,
    judged: Judged | None,
    there: tuple[float, int] | None,
) -> Finding:
    name = dataset.classes[each.label]
    facts = asdict(each) | {"class": name, "strength": each.strength, "sql": each.cue.sql}
    facts |= {"use": None if use is None else asdict(use)}
    if there is not None:
        facts["reference"] = {"share": there[0], "images": there[1]}
    verdict = "" if use is None else f" {use.verdict}:"
    apart = f"AUC {each.auc:.2f}" if each.auc is not None else f"V {each.v:.2f}"
    title = (
        f"{each.cue.column} -> {name}:{verdict} {each.share:.0%} of {each.images} images with "
        f"{each.cue} are {name}, {each.base:.0%} of all ({apart})"
    )
    return Finding(
        "shortcut",
        "accepted" if each.reason else "warning",
        title,
        f"{each.cue.column} -> {name}",
        f"accepted: {each.reason}" if each.reason else _remedy(each, name),
        each.images,
        _told(each, name, use, judged, there),
        _pictures(dataset, rows, values, each) + _conflicts(dataset, each, judged),
        facts=facts,
    )


def _remedy(each: Shortcut, name: str) -> str:
    return (
        f"collect images with {each.cue.sql} AND label <> {sql_quoted(name)}, or vary the property "
        f"in training, or accept it with a reason: - {{property: {each.cue.column}, "
        f"class: {name}, reason: ...}}"
    )


def _told(
    each: Shortcut,
    name: str,
    use: Use | None,
    judged: Judged | None,
    there: tuple[float, int] | None,
) -> str:
    words = [f"95 % interval of the share {each.low:.0%} to {each.high:.0%}."]
    if each.also:
        words.append(f"The same images stand out by {', '.join(each.also)}.")
    if there is not None:
        words.append(f"Of {there[1]} reference images with {each.cue}, {there[0]:.0%} are {name}.")
    if use is not None and judged is not None:
        words.append(
            f"{judged.title}: of {use.conflicting} conflicting images (with the cue, not {name}) "
            f"{use.drawn:.1%} are called {name}; of {use.others} others that are not {name}, "
            f"{use.called:.1%}. Difference {use.drawn - use.called:+.3f} (95 % interval "
            f"{use.low:+.3f} to {use.high:+.3f})."
        )
        words += {
            "BRITTLE": ["It errs more where the cue holds, but not towards that class alone."],
            "UNPROVEN": ["Too few such images to tell: collect some."],
        }.get(use.verdict, [])
    return " ".join(words)


def _use(each: Shortcut, judged: Judged) -> Use | None:
    column = next((c for c in judged.columns if c.name == each.cue.column), None)
    if column is None:
        return None
    return use_of(each.cue.holds(column.values), judged.labels, judged.predicted, each.label)


def _share_elsewhere(each: Shortcut, elsewhere: Elsewhere) -> tuple[float, int] | None:
    column = next((c for c in elsewhere.columns if c.name == each.cue.column), None)
    if column is None:
        return None
    inside = each.cue.holds(column.values)
    return float((elsewhere.labels[inside] == each.label).mean()) if inside.any() else 0.0, int(
        inside.sum()
    )


def _pictures(
    dataset: Dataset, rows: np.ndarray, values: np.ndarray, each: Shortcut
) -> tuple[Strip, ...]:
    """The images that have the cue most, class by class, the cue's own class first."""
    inside = np.flatnonzero(each.cue.holds(values))
    if values.dtype.kind == "f" and each.cue.kind in ("low", "high"):
        order = np.argsort(values[inside], kind="stable")
        inside = inside[order if each.cue.kind == "low" else order[::-1]]
    labels = dataset.manifest.labels[rows[inside]]
    counts = np.bincount(labels, minlength=len(dataset.classes))
    classes = [each.label, *(k for k in np.argsort(-counts, kind="stable") if k != each.label)]
    strips = []
    for label in [k for k in classes if counts[k]][:_STRIPS]:
        mine = rows[inside[labels == label]]
        title = f"{dataset.classes[label]} with {each.cue}: {len(mine)}"
        strips.append(Strip(title, tuple(int(row) for row in mine[:_SHOWN])))
    return tuple(strips)


def _conflicts(dataset: Dataset, each: Shortcut, judged: Judged | None) -> tuple[Strip, ...]:
    """Conflicting images that the network gave away."""
    column = judged and next((c for c in judged.columns if c.name == each.cue.column), None)
    if judged is None or column is None:
        return ()
    drawn = each.cue.holds(column.values) & (judged.labels != each.label)
    drawn &= judged.predicted == each.label
    rows = judged.rows[drawn][:_SHOWN]
    if not len(rows):
        return ()
    name = dataset.classes[each.label]
    return (Strip(f"called {name} with {each.cue}, and wrong", tuple(int(r) for r in rows)),)


def shift_findings(shortcuts: Sequence[Shortcut], here: str, there: str) -> list[Finding]:
    """Properties that tell training images from others, as findings.

    Args:
        shortcuts: of the columns of both together, with label 0 for training and 1 for the others.
        here: what the training images are called.
        there: what the others are called.
    """
    found = []
    for each in shortcuts:
        side = there if each.label else here
        apart = "" if each.auc is None else f" (AUC {each.auc:.2f})"
        found.append(
            Finding(
                "shift",
                "warning" if there == "reference" else "note",
                f"{each.cue.column}: {here} and {there} differ: {each.share:.0%} of {each.images} "
                f"images with {each.cue} are {side}, {each.base:.0%} of all{apart}",
                each.cue.column,
                "collect training images like those of the device, or vary the property in training"
                if there == "reference"
                else f"carve {there} from the same images as {here}, or say what it stands for",
                each.images,
                f"Also {', '.join(each.also)}." if each.also else "",
                facts=asdict(each) | {"here": here, "there": there},
            )
        )
    return found


def floor_note(found: Associations) -> str:
    """What was looked at and how far chance reaches, in one line."""
    n, columns = int(found.counts.sum()), len(found.columns)
    counts = found.counts[found.counts > 0]
    if not np.isfinite(found.floor) or not len(counts):
        return f"{columns} columns, {n} images: too few to tell anything from chance"
    typical = float(np.median(counts))
    # The AUC's standard deviation under permutation, without ties (Mann and Whitney 1947).
    deviation = np.sqrt((n + 1) / (12 * typical * max(1.0, n - typical)))
    return (
        f"{columns} columns against {len(counts)} classes, {n} images: chance alone reaches "
        f"|z| {found.floor:.1f}, for a class of {typical:.0f} images an AUC "
        f"{found.floor * deviation:.3f} from one half"
    )
