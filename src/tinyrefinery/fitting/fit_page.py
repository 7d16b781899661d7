"""The page of a search: what ships, what was tried and rejected, what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyrefinery.files import write_atomic
from tinyrefinery.fitting.delivered import Delivered
from tinyrefinery.fitting.fit_outcome import (
    accuracy_line,
    costs,
    drop_line,
    next_commands,
    next_steps,
)
from tinyrefinery.fitting.fit_pictures import Fitted
from tinyrefinery.fitting.trials import GIVEN, Trial
from tinyrefinery.pages.inline import inline_svg, thumbnail
from tinyrefinery.pages.numbers import kilo
from tinyrefinery.pages.templating import template
from tinyrefinery.reports import class_errors
from tinyrefinery.reports.class_section import class_section
from tinyrefinery.reports.pareto import Point, cost_figure
from tinyrefinery.statistics.proportions import wilson_interval

PAGE = "page.html"
_TEMPLATES = Path(__file__).parent / "templates"
_REPORTS = Path(class_errors.__file__).parent / "templates"
_COST = "ram"


@dataclass(frozen=True)
class _Line:
    """One candidate of the table, as text."""

    name: str
    flash: str
    ram: str
    macs: str
    accuracy: str
    """Of the validation pictures, at its longest trial."""
    epochs: str
    chosen: bool


def write_fit_page(fitted: Fitted) -> Path:
    """Write the page into the folder of the search.

    Raises:
        StorageError: if the folder is not writable.
    """
    choice = fitted.choice
    longest = _longest(choice.trials)
    figure = cost_figure({"validation pictures": _points(fitted, longest)}, _COST)
    return write_page(
        "fit.html.j2",
        fitted,
        title=f"{fitted.name}: {choice.candidate.name}",
        steps=next_steps(fitted),
        figure=inline_svg(figure, "Accuracy of the candidates against memory"),
        lines=_lines(fitted, longest),
        variants=[each for each in choice.trials if each.variant],
    )


def write_page(name: str, fitted: Delivered, **values: Any) -> Path:
    """Write a page about a network that ships into its folder.

    Args:
        name: of the template, which is `fit.html.j2` or extends it.
        fitted: the network.
        **values: what only this template needs, and `commands` if they are not those of `fit`.

    Raises:
        StorageError: if the folder is not writable.
    """
    text = template(name, _TEMPLATES, _REPORTS).render(
        fitted=fitted,
        accuracy=accuracy_line(fitted),
        drop=drop_line(fitted),
        gain=fitted.shipped.gain,
        costs=costs(fitted),
        split="test",
        suffix="",
        **class_section(fitted.shipped.predictions, _errors(fitted)),
        **{"commands": next_commands(fitted), **values},
    )
    path = fitted.folder / PAGE
    write_atomic(path, text)
    return path


def _longest(trials: Sequence[Trial]) -> dict[str, Trial]:
    """Of each candidate, the trial with most epochs from given labels."""
    found: dict[str, Trial] = {}
    for trial in trials:
        if trial.variant or trial.labels != GIVEN:
            continue
        if trial.candidate not in found or trial.epochs >= found[trial.candidate].epochs:
            found[trial.candidate] = trial
    return found


def _points(fitted: Fitted, longest: dict[str, Trial]) -> list[Point]:
    n = fitted.look.validation
    points = []
    for each in fitted.candidates:
        if (trial := longest.get(each.name)) is None:
            continue
        low, high = wilson_interval(trial.top1, n)
        points.append(
            Point(
                *(each.name, "ours", None, each.cost.macs / 1e6, 100 * trial.top1, ""),
                bytes=each.cost.flash,
                ram=each.cost.ram,
                interval=(100 * low, 100 * high),
                n=n,
            )
        )
    return points


def _lines(fitted: Fitted, longest: dict[str, Trial]) -> list[_Line]:
    """The candidates: those that were trained longest first, and the best of these first."""
    lines = []
    for each in fitted.candidates:
        trial = longest.get(each.name)
        line = _Line(
            name=each.name,
            flash=f"{each.cost.flash:,}",
            ram=f"{each.cost.ram:,}",
            macs=kilo(each.cost.macs),
            accuracy="" if trial is None else f"{100 * trial.top1:.1f}",
            epochs="not trained" if trial is None else f"{trial.epochs}",
            chosen=each.name == fitted.choice.candidate.name,
        )
        lines.append(((trial.epochs, trial.top1) if trial else (0, 0.0), line))
    return [line for _, line in sorted(lines, key=lambda pair: pair[0], reverse=True)]


def _errors(fitted: Delivered) -> list[class_errors.ErrorPicture]:
    """The most confident errors of the artifact, with their pictures."""
    predictions, data = fitted.shipped.predictions, fitted.data
    rows = {identity: row for row, identity in enumerate(data.manifest.column("id"))}
    paths = data.manifest.column("path")
    found = []
    for place in class_errors.surest_errors(predictions):
        row = rows[predictions.ids[place]]
        picture = thumbnail(data.images.pixels(row), 160)
        found.append(class_errors.error_picture(predictions, place, str(paths[row]), picture))
    return found
