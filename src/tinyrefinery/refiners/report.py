"""What was found of refiners, for the terminal and the page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from tinyrefinery.errors import DataError

LIMITS = (
    "A rule, not a forecast. It doesn't know for how long the student will train{student}. The "
    "bounds are our choice, the direction is the paper's (Table 6). Only training shows a gain: "
    "run three seeds."
)
UNKNOWN = ", nor how much it knows on its own: name it with --student"

WHOLE = 3  # place of whole images in `line_of`, for which the terminal has no room

Found = Mapping[str, Any]
"""Content of refiners.json."""


def read_refiners(path: Path) -> dict[str, Any] | None:
    """Content of refiners.json; None where there is no such file.

    Raises:
        DataError: when the file is damaged or from another version.
    """
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        known = found["format"] == 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not readable ({error}). Delete it, or ask again") from error
    if not known:
        raise DataError(f"{path}: was written by another Tiny Refinery. Delete it, or ask again")
    return found


def refiner_table(found: Found) -> Table:
    """One line a refiner, the best first; it fits into 80 columns."""
    truth = any(each["crop_truth"] for each in found["refiners"])
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption=_caption(found, truth),
        caption_justify="left",
    )
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("refiner", overflow="fold", min_width=12)
    heads = ["train\ncrops", "unseen\ncrops", "gap", "open\nclasses"]
    heads += ["crops\ndiffer", *(["truth\nKL"] if truth else [])]
    for title in heads:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for place, each in ranked(found):
        cells = line_of(each, truth)
        table.add_row(str(place), escape(each["name"]), *cells[:WHOLE], *cells[WHOLE + 1 :])
    return table


def ranked(found: Found) -> list[tuple[int, Found]]:
    """Place and entry of each refiner, the best first."""
    entries = {each["name"]: each for each in found["refiners"]}
    return [(each["place"], entries[each["name"]]) for each in found["ranking"]["places"]]


def line_of(each: Found, truth: bool) -> list[str]:
    """The numbers of one refiner as text, in the order of the table."""
    train, held, gap = each["train_crops"], each["validation_crops"], each["gap"]
    cells = [
        f"{100 * train['top1']:.1f}",
        f"{100 * held['top1']:.1f}",
        f"{100 * gap['top1']:.1f}±{100 * gap['standard_error']:.1f}".replace("-", "−"),
        f"{100 * each['validation']['top1']:.1f}",
        f"{train['effective_classes']:.2f}",
        f"{100 * train['pairs_disagree']:.1f}",
    ]
    if truth:
        quality = each["crop_truth"]
        cells.append(f"{quality['labels']['kl']:.2f}" if quality else "–")
    return [*cells, each["verdict"]]


def _caption(found: Found, truth: bool) -> str:
    on = found["on"]
    return (
        f"percent; {on['train_images']} training, {on['validation_images']} validation images, "
        f"{on['crops']} crops of each; BN {on['batch_norm']}; gap ± its standard error; open "
        "classes: exp of the mean label entropy; crops differ: pairs of crops of one training "
        "image with different top classes"
    ) + ("; truth KL: nats" if truth else "")


def told(found: Found) -> list[str]:
    """Verdicts with their reasons, human labels, the ranking and its limits, a line each."""
    lines = []
    for _, each in ranked(found):
        lines += ["", f"{each['name']}: {each['verdict']}"]
        lines += [f"  {_MARK[reason['grade']]} {reason['what']}" for reason in each["reasons"]]
        lines += [f"    {line}" for line in (whole(each), *moves(each))]
        lines += [f"    {line}" for line in human_lines(each)]
    return [*lines, "", *ranking_lines(found), limits(found)]


def limits(found: Found) -> str:
    """What the verdicts don't know."""
    known = found["on"].get("student") is not None
    return LIMITS.format(student="" if known else UNKNOWN)


_MARK = {"sound": "+", "with care": "!", "poor": "-"}


def whole(each: Found) -> str:
    """How right it is on whole validation images, in words."""
    found = each["validation"]
    low, high = found["top1_interval"]
    return (
        f"whole validation images (n = {found['n']}): top-1 {found['top1']:.1%} "
        f"[{low:.1%}, {high:.1%}], NLL {found['nll']:.3f} nats, ECE {found['ece']:.3f}"
    )


def moves(each: Found) -> list[str]:
    """How far labels move with the BN mode, in words."""
    parts = [
        f"{mode.replace('_', ' ')} {moved['top1_changed']:.1%} of the top classes and "
        f"{moved['total_variation']:.1%} of the probability (KL {moved['kl']:.3f} nats)"
        for mode, moved in each["movement"].items()
    ]
    return [f"instead of BN {each['batch_norm']}: {part} change" for part in parts]


def human_lines(each: Found) -> list[str]:
    """Quality against people's labels, a line a split."""
    return [
        f"people, {split} images (n = {kinds['labels']['n']}): KL {kinds['labels']['kl']:.3f} "
        f"nats; given labels {kinds['given']['kl']:.3f}, smoothed {kinds['smoothed']['kl']:.3f}"
        for split, kinds in each["human"].items()
    ]


def ranking_lines(found: Found) -> list[str]:
    """The ranking of two or more, and whether accuracy alone would say the same."""
    places = found["ranking"]["places"]
    if len(places) < 2:
        return []
    order = " > ".join(_tied(places))
    by_accuracy = sorted(found["refiners"], key=lambda each: -each["validation_crops"]["top1"])
    names = [each["name"] for each in by_accuracy]
    same = names == [each["name"] for each in places]
    other = "the same order" if same else " > ".join(names)
    return [
        f"Ranking: {order}",
        f"It rests on: {found['ranking']['rests_on']}. '=' where the difference lies within 1.96 "
        "standard errors, paired by image.",
        f"By accuracy on unseen crops alone: {other}",
    ]


def _tied(places: Sequence[Found]) -> list[str]:
    """Names of each place, joined where they share it."""
    shared: dict[int, list[str]] = {}
    for each in places:
        shared.setdefault(each["place"], []).append(each["name"])
    return [" = ".join(names) for names in shared.values()]
