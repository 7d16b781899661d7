"""The assessment of refiners as text, for the terminal and the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.reading.json_text import read_json_object

LIMITS = (
    "The verdict is a rule, not a forecast. It ignores how long the student trains{student}. The "
    "bounds are our choice, the direction is from the paper (Table 6). Only training shows the "
    "gain: run three seeds."
)
UNKNOWN = ", and how accurate the student is: name it with --student"

WHOLE = 3  # place of whole images in `table_cells`, for which the terminal has no space

Assessment = Mapping[str, Any]
"""Content of refiners.json, or of one of its refiners."""


def read_refiners(path: Path) -> dict[str, Any] | None:
    """Read refiners.json; None without such a file.

    Raises:
        DataError: when the file is damaged or from another version.
    """
    if not path.exists():
        return None
    assessment = read_json_object(path, "Delete it or rerun.")
    if assessment.get("format") != 1:
        raise DataError(f"{path}: written by another version: delete it or rerun")
    return assessment


def refiner_table(assessment: Assessment) -> FittedTable:
    """One line per refiner, the best first. It fits into 80 columns."""
    truth = any(refiner["crop_truth"] for refiner in assessment["refiners"])
    table = FittedTable(_caption(assessment, truth))
    table.head = 1
    table.add_numbers("#")
    table.add_text("refiner", 12)
    titles = ["train\ncrops", "unseen\ncrops", "gap", "eff.\nclasses"]
    titles += ["crops\ndiffer", *(["truth\nKL"] if truth else [])]
    table.add_numbers(*titles)
    table.add_text("verdict", 16)
    for place, refiner in by_place(assessment):
        cells = table_cells(refiner, truth)
        table.add_row(str(place), escape(refiner["name"]), *cells[:WHOLE], *cells[WHOLE + 1 :])
    return table


def by_place(assessment: Assessment) -> list[tuple[int, Assessment]]:
    """Place and entry of each refiner, the best first."""
    refiners = {refiner["name"]: refiner for refiner in assessment["refiners"]}
    return [(place["place"], refiners[place["name"]]) for place in assessment["ranking"]["places"]]


def table_cells(refiner: Assessment, truth: bool) -> list[str]:
    """The numbers of one refiner as text, in the order of the table."""
    train, held, gap = refiner["train_crops"], refiner["validation_crops"], refiner["gap"]
    cells = [
        f"{100 * train['top1']:.1f}",
        f"{100 * held['top1']:.1f}",
        f"{100 * gap['top1']:.1f}±{100 * gap['standard_error']:.1f}".replace("-", "−"),
        f"{100 * refiner['validation']['top1']:.1f}",
        f"{train['effective_classes']:.2f}",
        f"{100 * train['pairs_disagree']:.1f}",
    ]
    if truth:
        quality = refiner["crop_truth"]
        cells.append(f"{quality['labels']['kl']:.2f}" if quality else "–")
    return [*cells, refiner["verdict"]]


def _caption(assessment: Assessment, truth: bool) -> str:
    on = assessment["on"]
    return (
        f"Top-1 in percent on {on['train_images']} training and {on['validation_images']} "
        f"validation images, {on['crops']} crops per image, BN {on['batch_norm']}. Gap ± standard "
        "error. Effective classes: exponential of the mean label entropy. Crops differ: share of "
        "pairs of crops of a training image with different top classes."
    ) + (" Truth KL in nats." if truth else "")


def report_lines(assessment: Assessment) -> list[str]:
    """Verdicts with reasons, further measures, the ranking and its limits, as lines."""
    lines = []
    for _, refiner in by_place(assessment):
        lines += ["", f"{refiner['name']}: {refiner['verdict']}"]
        lines += [f"  {_MARK[reason['grade']]} {reason['what']}" for reason in refiner["reasons"]]
        lines += [f"    {line}" for line in (whole_image_line(refiner), *movement_lines(refiner))]
        lines += [f"    {line}" for line in human_lines(refiner)]
    return [*lines, "", *ranking_lines(assessment), limits(assessment)]


def limits(assessment: Assessment) -> str:
    """The limits of the verdicts."""
    has_student = assessment["on"].get("student") is not None
    return LIMITS.format(student="" if has_student else UNKNOWN)


_MARK = {"sound": "+", "with care": "!", "poor": "-"}


def whole_image_line(refiner: Assessment) -> str:
    """Accuracy on whole validation images."""
    measures = refiner["validation"]
    low, high = measures["top1_interval"]
    return (
        f"whole validation images (n = {measures['n']}): top-1 {measures['top1']:.1%} "
        f"[{low:.1%}, {high:.1%}], NLL {measures['nll']:.3f} nats, ECE {measures['ece']:.3f}"
    )


def movement_lines(refiner: Assessment) -> list[str]:
    """How much labels change with the BN mode, one line per mode."""
    names = {"other_bn_groups": "other BN groups"}
    return [
        f"{names.get(mode, f'BN {mode}')} instead of BN {refiner['batch_norm']}: "
        f"{change['top1_changed']:.1%} of the top classes and {change['total_variation']:.1%} of "
        f"the probability change (KL {change['kl']:.3f} nats)"
        for mode, change in refiner["movement"].items()
    ]


def human_lines(refiner: Assessment) -> list[str]:
    """Quality against human labels, one line per split."""
    return [
        f"KL to human labels, {split} images (n = {kinds['labels']['n']}): "
        f"{kinds['labels']['kl']:.3f} nats, given labels {kinds['given']['kl']:.3f}, smoothed "
        f"labels {kinds['smoothed']['kl']:.3f}"
        for split, kinds in refiner["human"].items()
    ]


def ranking_lines(assessment: Assessment) -> list[str]:
    """The ranking of two or more refiners, and whether accuracy alone gives the same order."""
    places = assessment["ranking"]["places"]
    if len(places) < 2:
        return []
    order = " > ".join(_tied(places))
    by_accuracy = sorted(assessment["refiners"], key=lambda r: -r["validation_crops"]["top1"])
    names = [refiner["name"] for refiner in by_accuracy]
    same = names == [place["name"] for place in places]
    return [
        f"Ranking: {order}",
        f"Score: {assessment['ranking']['rests_on']}. '=' means a difference within 1.96 standard "
        "errors, paired by image.",
        f"By accuracy on unseen crops alone: {'the same order' if same else ' > '.join(names)}",
    ]


def _tied(places: Sequence[Assessment]) -> list[str]:
    """Names by place, joined by '=' if they share it."""
    names_by_place: dict[int, list[str]] = {}
    for place in places:
        names_by_place.setdefault(place["place"], []).append(place["name"])
    return [" = ".join(names) for names in names_by_place.values()]
