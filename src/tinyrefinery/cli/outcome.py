"""What a run ends with: its tables in the terminal, its CSV files, and an HTML report."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import check_default
from tinyrefinery.errors import DataError
from tinyrefinery.pages.run_tables import (
    comparisons,
    gain_line,
    group_stages,
    held_out_split,
    terminal_table,
    write_results,
)
from tinyrefinery.reports.detectors import class_table, detector_table, write_detector_results
from tinyrefinery.reports.network_facts import network_facts
from tinyrefinery.reports.table_lines import table_lines, write_table
from tinyrefinery.reports.table_text import notes, terminal_lines, title
from tinyrefinery.runs.files import RESULTS
from tinyrefinery.runs.run_folder import Run, open_run
from tinyrefinery.runs.stage_record import DETECTOR


def show(
    folders: Sequence[Path],
    out: Path | None = None,
    baseline: str | None = None,
    *,
    figures: bool = False,
    pareto: bool = False,
) -> None:
    """Print the tables of runs, write results.csv in each, and one HTML report about all.

    With `out`, nothing is written into the runs.

    The run of a table also gets table.csv, and its rows are printed beside the paper's. Detectors
    have no HTML report.

    Args:
        folders: run folders.
        out: the report, `report.html` in the first folder by default.
        baseline: id of the stage that gains are relative to. By default, it is the same network
            trained on the original labels.
        figures: add Figures 4 to 8 of the Label Refinery paper.
        pareto: add accuracy against cost, with published networks.

    Raises:
        DataError: when the runs hold detectors, and an option of the HTML report is given.
    """
    runs = [open_run(path) for path in folders]
    console = streams.console()
    if any(stage.kind == DETECTOR for run in runs for stage in run.stages):
        if out or baseline or figures or pareto:
            raise DataError(
                f"{folders[0]}: holds detectors, which have no HTML report; give the run folders "
                "alone to print their tables"
            )
        for run in runs:
            _show_detectors(console, run)
        return
    if out is None:
        places = [folders[0] / "report.html", *(run.path / RESULTS for run in runs)]
        check_default(*places, other="report --out FILE writes nothing into the runs")
    from tinyrefinery.reports.page import write_page  # imports matplotlib

    page = write_page(runs, out, baseline, figures=figures, pareto=pareto)
    for run in runs if out is None else ():
        write_results(run)
        write_table(run)
    for run in runs:
        _print_network(console, run)
    groups = group_stages(runs)
    console.print(terminal_table(groups))
    notes = [note for run in runs for note in run.notes]
    streams.print_lines(console, *notes, "", *map(gain_line, comparisons(groups, baseline)), "")
    for run in runs:
        _print_rows(console, run)
    streams.print_lines(console, f"Report: {page}")


def _print_network(console: Console, run: Run) -> None:
    """How good the run's network is, how large, where, and what to type next."""
    facts = network_facts(run)
    if facts is None:
        return
    name = " ".join(part for part in (run.name, facts.stage.label) if part)
    lines = [f"Your network, {name}: {facts.accuracy}", facts.seeds, facts.size]
    lines += [f"File: {facts.stage.network}", f"Next: {facts.commands[0][0]}"]
    streams.print_lines(console, *filter(None, lines), "")


def _show_detectors(console: Console, run: Run) -> None:
    """Print the tables of a run of detectors, and write its results.csv and table.csv."""
    write_table(run)
    split = held_out_split(run.stages)
    measured = {stage.key: stage.evaluation for stage in run.stages}
    console.print(detector_table(run.stages, measured, split))
    if not run.table:
        console.print(class_table(run.stages, measured, split))
    streams.print_lines(console, *run.notes, "")
    _print_rows(console, run)
    streams.print_lines(console, f"Results: {write_detector_results(run)}")


def _print_rows(console: Console, run: Run) -> None:
    """The rows of the table that a run belongs to, beside the paper's."""
    if not run.table:
        return
    lines = table_lines(run)
    streams.print_lines(console, title(run), "")
    console.print(terminal_lines(lines))
    streams.print_lines(console, *notes(run, lines), "")
