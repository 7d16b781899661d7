"""What a run prints: quiet progress while it lasts, its table and report at the end."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrefinery.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from tinyrefinery.runs.folder import Run


class _BesideBars(logging.Handler):
    """Writes to stderr without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        from tqdm.auto import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def log_progress() -> None:
    """Print the progress of the run to stderr, and no messages of libraries."""
    ours = logging.getLogger("tinyrefinery")
    ours.setLevel(logging.INFO)
    ours.propagate = False
    if not ours.handlers:
        ours.addHandler(_BesideBars())


def show(
    folders: Sequence[Path],
    out: Path | None = None,
    baseline: str | None = None,
    *,
    figures: bool = False,
    pareto: bool = False,
) -> None:
    """Print the tables of runs, write results.csv in each, and one HTML report about all.

    A run of a table also gets table.csv, and its rows are printed beside the paper's. Detectors
    have no HTML report.

    Args:
        folders: run folders.
        out: the report; report.html in the first folder if not given.
        baseline: stage id that gains are measured against; else the same network unrefined.
        figures: also the paper's Figures 4 to 8.
        pareto: also accuracy against cost, with the literature's networks.

    Raises:
        DataError: when the runs hold detectors, and an option is of the HTML report.
    """
    from rich.console import Console

    from tinyrefinery.reports.table_lines import write_table
    from tinyrefinery.runs.folder import DETECTOR, open_run

    runs = [open_run(path) for path in folders]
    console = Console(emoji=False)  # a path may hold :x:
    if any(stage.kind == DETECTOR for run in runs for stage in run.stages):
        if out or baseline or figures or pareto:
            raise DataError(
                f"{folders[0]}: holds detectors, of which there is no HTML report; give the run "
                "folders alone to print their tables"
            )
        for run in runs:
            _show_detectors(console, run)
        return
    from tinyrefinery.pages.run_tables import (
        comparisons,
        gain_line,
        group_stages,
        terminal_table,
        write_results,
    )
    from tinyrefinery.reports.page import write_page

    page = write_page(runs, out, baseline, figures=figures, pareto=pareto)
    for run in runs:
        write_results(run)
        write_table(run)
    groups = group_stages(runs)
    console.print(terminal_table(groups))
    notes = [note for run in runs for note in run.notes]
    _print(console, *notes, "", *map(gain_line, comparisons(groups, baseline)), "")
    for run in runs:
        _print_rows(console, run)
    _print(console, f"Report: {page}")


def _show_detectors(console: "Console", run: "Run") -> None:
    """Print the tables of a run of detectors, and write its results.csv and table.csv."""
    from tinyrefinery.pages.run_tables import held_out_split
    from tinyrefinery.reports.detectors import class_table, detector_table, write_detector_results
    from tinyrefinery.reports.table_lines import write_table

    write_table(run)
    split = held_out_split(run.stages)
    measured = {stage.key: stage.evaluation for stage in run.stages}
    console.print(detector_table(run.stages, measured, split))
    if not run.table:
        console.print(class_table(run.stages, measured, split))
    _print(console, *run.notes, "")
    _print_rows(console, run)
    _print(console, f"Results: {write_detector_results(run)}")


def _print_rows(console: "Console", run: "Run") -> None:
    """The rows of the table that a run belongs to, beside the paper's."""
    from tinyrefinery.reports.table_lines import table_lines
    from tinyrefinery.reports.table_text import notes, terminal_lines, title

    if not run.table:
        return
    lines = table_lines(run)
    _print(console, title(run), "")
    console.print(terminal_lines(lines))
    _print(console, *notes(run, lines), "")


def _print(console: "Console", *lines: str) -> None:
    """Lines as they are: no markup, no colours, broken by the terminal alone."""
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
