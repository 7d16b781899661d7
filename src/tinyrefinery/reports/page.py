"""The report: one HTML file that needs nothing else."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from tinyrefinery.files import write_atomic
from tinyrefinery.pages import numbers, plots
from tinyrefinery.pages.inline import inline_svg
from tinyrefinery.pages.run_tables import (
    COLUMNS,
    Comparison,
    StageGroup,
    comparisons,
    group_stages,
    results_row,
    shown_model,
)
from tinyrefinery.pages.style import save_plots
from tinyrefinery.pages.templating import template
from tinyrefinery.papers.figures import PaperFigure, paper_figures
from tinyrefinery.refiners.refiner_report import (
    by_place,
    human_lines,
    movement_lines,
    ranking_lines,
    read_refiners,
    table_cells,
)
from tinyrefinery.reports.network_facts import network_facts
from tinyrefinery.reports.network_section import network_section
from tinyrefinery.reports.pareto import pareto_figures
from tinyrefinery.reports.samples import read_samples
from tinyrefinery.reports.table_lines import table_lines
from tinyrefinery.reports.table_text import cells, columns, network, notes, title
from tinyrefinery.runs.run_folder import Run

HERE = Path(__file__).parent
TEMPLATES = (HERE / "templates", HERE.parent / "refiners" / "templates")
MOST_EXCLUDED = 200
MOST_VALUES = 12
NAMED_CATEGORIES = 3  # below each plot

VERDICTS = {
    "gain": "gain",
    "loss": "loss",
    "no gain shown": "no gain shown",
    "one seed": "one seed: shows nothing yet",
}


def write_page(
    folders: Sequence[Run],
    out: Path | None = None,
    baseline: str | None = None,
    *,
    figures: bool = False,
    pareto: bool = False,
) -> Path:
    """Write the report of one or more runs, and the main plots into plots/ beside it.

    Args:
        folders: at least one run with a finished stage.
        out: the HTML file; None means report.html in the first run folder.
        baseline: id of the stage that gains are measured against; None finds each stage's own
            (`find_baseline`).
        figures: also Figures 4 to 8 of the paper.
        pareto: also accuracy against cost, with the literature's networks.

    Returns:
        The HTML file.

    Raises:
        DataError: when there is nothing to report, or `baseline` is unknown.
    """
    groups = group_stages(folders)
    compared = comparisons(groups, baseline)
    drawn = plots.main_plots(groups, compared)
    paper = paper_figures(folders, groups) if figures else []
    cost = pareto_figures(folders, groups) if pareto else []
    path = out or folders[0].path / "report.html"
    write_atomic(path, render_page(folders, groups, compared, drawn, baseline, paper, cost))
    own = {each.file: each.figure for each in (*paper, *cost)}
    save_plots(drawn | own, path.parent / "plots")
    return path


def render_page(
    folders: Sequence[Run],
    groups: Sequence[StageGroup],
    compared: Sequence[Comparison],
    figures: dict[str, Figure],
    baseline: str | None = None,
    paper: Sequence[PaperFigure] = (),
    cost: Sequence[PaperFigure] = (),
) -> str:
    """The report's HTML; `figures` are `plots.main_plots`, the rest is as in `write_page`."""
    networks = [each for each in map(network_facts, folders) if each is not None]
    return template("report.html.j2", *TEMPLATES).render(
        title=" + ".join(folder.name for folder in folders),
        recipes=list(dict.fromkeys(folder.title for folder in folders if folder.title)),
        held_out=groups[0].held_out,
        first=networks[0].accuracy if networks else headline(compared, groups[0].held_out),
        networks=[network_section(each) for each in networks],
        headline=headline(compared, groups[0].held_out),
        comparisons=[_comparison(each) for each in compared],
        table=_table(groups, compared),
        paper_tables=[_paper_table(folder) for folder in folders if folder.table],
        figures={key: inline_svg(figure, _TITLES[key]) for key, figure in figures.items()},
        titles=_TITLES,
        curves=_curves(groups, compared),
        categories=_categories(groups),
        paper=[(each, inline_svg(each.figure, each.title)) for each in paper],
        cost=[(each, inline_svg(each.figure, each.title)) for each in cost],
        folders=[_folder(folder) for folder in folders],
        columns=COLUMNS,
        results=_results(groups),
        baseline=baseline,
        notes=[note for folder in folders for note in folder.notes],
    )


def headline(compared: Sequence[Comparison], held_out: str) -> str:
    """One sentence that claims no more than the intervals show."""
    if not compared:
        return (
            "No gain is claimed: no network here was trained both on given and on refined labels."
        )
    if all(each.gain.verdict == "one seed" for each in compared):
        return "One seed only, so no gain is claimed: run more seeds to see the spread."
    found = Counter(each.gain.verdict for each in compared)
    gains, losses, total = found["gain"], found["loss"], len(compared)
    if total == 1:
        each = compared[0]
        what = f"{each.group.name} against {each.baseline.name}"
        return {
            "gain": f"A gain in {held_out} top-1: {what}.",
            "loss": f"A loss in {held_out} top-1: {what}.",
        }.get(each.gain.verdict, f"No gain shown: {what}.")
    if not gains:
        return f"No gain shown in any of {total} comparisons" + (
            f", a loss in {losses}." if losses else "."
        )
    return f"A gain in {held_out} top-1 in {gains} of {total} comparisons" + (
        f", a loss in {losses}." if losses else "."
    )


_TITLES = {
    "gain": "Gain over the baseline",
    "held_out_top1": "Held-out accuracy",
    "gap": "Generalization gap",
    "label_kl": "Distance of labels from true crop labels",
}


def _comparison(each: Comparison) -> dict[str, Any]:
    """A gain in words."""
    gain = each.gain
    interval = (
        f"95 % interval {numbers.signed(gain.low)} to {numbers.signed(gain.high)}"
        if gain.low is not None and gain.high is not None
        else "no interval"
    )
    return {
        "what": each.group.name,
        "model": shown_model(each.group.first.model),
        "labels": each.group.first.labels,
        "baseline": each.baseline.name,
        "points": numbers.signed(gain.mean),
        "interval": interval,
        "n": gain.n,
        "verdict": VERDICTS[gain.verdict],
        "kind": gain.verdict.replace(" ", "-"),
    }


def _table(groups: Sequence[StageGroup], compared: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Lines of the main table."""
    gains = {id(each.group): each.gain for each in compared}
    lines = []
    for group in groups:
        parameters, macs = group.spread("parameters"), group.spread("macs")
        lines.append(
            {
                "name": group.name,
                "model": shown_model(group.first.model),
                "labels": group.first.labels,
                "refined": group.refined,
                "generation": group.generation,
                "parameters": numbers.kilo(parameters.mean if parameters else None),
                "macs": numbers.kilo(macs.mean if macs else None),
                "train": numbers.percent(group.spread("train_top1")),
                "held_out": numbers.percent(group.spread("held_out_top1")),
                "gap": numbers.percent(group.spread("gap")),
                "gain": numbers.gain_points(gains.get(id(group))),
                "label_kl": numbers.nats(group.spread("label_kl")),
                "n": len(group.runs),
            }
        )
    return lines


def _paper_table(folder: Run) -> dict[str, Any]:
    """A table beside the paper's."""
    lines = table_lines(folder)
    titles = columns(lines)
    return {
        "title": title(folder),
        "columns": titles,
        "lines": [
            {"row": line.row, "network": network(line, lines), "cells": cells(line, titles)}
            for line in lines
        ],
        "notes": notes(folder, lines),
    }


def _curves(groups: Sequence[StageGroup], compared: Sequence[Comparison]) -> list[Markup]:
    """Curves of every stage that has metrics, on one scale, each with its baseline's."""
    span = plots.curve_span(groups)
    baselines = {id(each.group): each.baseline for each in compared}
    found = []
    for group in groups:
        if span is not None and any(run.metrics for run in group.runs):
            figure = plots.curve_plot(group, baselines.get(id(group)), span)
            found.append(inline_svg(figure, f"Curves of {_key(group)}"))
    return found


def _categories(groups: Sequence[StageGroup]) -> list[tuple[Markup, list[str]]]:
    """Category plots of every stage that has them, each with its most overfitted categories."""
    figures = ((group, plots.category_plot(group)) for group in groups)
    return [
        (inline_svg(each, f"Categories of {_key(group)}"), _most_overfitted(group))
        for group, each in figures
        if each
    ]


def _most_overfitted(group: StageGroup) -> list[str]:
    """The categories furthest below the line of their plot, with both accuracies in percent."""
    means = plots.category_means(group)
    below = sorted(means, key=lambda name: means[name][1] - means[name][0])
    below = [name for name in below if means[name][0] > means[name][1]]
    return [
        f"{name} {means[name][0]:.0f} / {means[name][1]:.0f}" for name in below[:NAMED_CATEGORIES]
    ]


def _key(group: StageGroup) -> str:
    """A name that no other stage on the page has."""
    return " ".join((group.first.run, group.name, group.first.stage))


def _results(groups: Sequence[StageGroup]) -> list[list[str]]:
    """Every stage and seed, as in results.csv, numbers shortened."""
    lines = (results_row(run, group.held_out) for group in groups for run in group.runs)
    return [[_cell(line[column]) for column in COLUMNS] for line in lines]


def _cell(value: str | int | float | None) -> str:
    """One value of results.csv for people."""
    if value is None:
        return numbers.NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _folder(folder: Run) -> dict[str, Any]:
    """Recipe and facts of one run."""
    return {
        "name": folder.name,
        "refiners": _refiners(folder),
        "samples": read_samples(folder.path / "samples.npz"),
        "recipe": folder.recipe,
        "environment": facts(folder.environment),
        "data": facts(folder.data),
        "excluded": folder.excluded[:MOST_EXCLUDED],
        "excluded_count": len(folder.excluded),
        "excluded_kinds": Counter(row.get("kind", "") for row in folder.excluded).most_common(),
    }


def _refiners(folder: Run) -> dict[str, Any] | None:
    """What `tinyrefinery refiner` found of this run's networks; None where it wasn't asked."""
    found = read_refiners(folder.path / "refiners.json")
    if found is None:
        return None
    truth = any(each["crop_truth"] for each in found["refiners"])
    lines = [
        {
            **{"place": place, "name": each["name"], "is": each},
            **{
                "cells": table_cells(each, truth),
                "more": [*movement_lines(each), *human_lines(each)],
            },
        }
        for place, each in by_place(found)
    ]
    return {"on": found["on"], "lines": lines, "truth": truth, "ranking": ranking_lines(found)}


def facts(content: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON as lines of name and value; long lists show their first values and length."""
    lines: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines += facts(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            more = f", … ({len(value)} in all)" if len(value) > MOST_VALUES else ""
            lines.append((prefix + key, ", ".join(map(str, value[:MOST_VALUES])) + more))
        else:
            lines.append((prefix + key, str(value)))
    return lines
