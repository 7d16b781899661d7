"""The page of a run whose best network ships: what ships, and what refining did."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.fitting.fit_page import write_page
from tinyrefinery.fitting.ship_run import ShippedRun
from tinyrefinery.pages.numbers import nats, percent
from tinyrefinery.pages.run_tables import gain_line, shown_model

_NO_TRUTH = "–"


@dataclass(frozen=True)
class _Line:
    """One network of the table, over its seeds, as text."""

    name: str
    model: str
    labels: str
    train: str
    test: str
    label_kl: str
    n: int
    ships: bool


def write_run_page(shipped: ShippedRun, report: str) -> Path:
    """Write the page into the run folder.

    Args:
        shipped: what ships.
        report: name of the run's report, in the same folder.

    Raises:
        StorageError: if the folder is not writable.
    """
    lines = _lines(shipped)
    return write_page(
        "run.html.j2",
        shipped,
        title=f"{shipped.name}: {shipped.stage.label}",
        report=report,
        commands=_commands(shipped),
        lines=lines,
        gains=[gain_line(each) for each in shipped.gains],
        truth=any(line.label_kl != _NO_TRUTH for line in lines),
    )


def _commands(shipped: ShippedRun) -> list[tuple[str, str]]:
    """What to do next: commands to paste, each with what it does."""
    artifact, run = (shlex.quote(str(path)) for path in (shipped.artifact, shipped.folder))
    budget = " ".join(f"--{name} {value}" for name, value in shipped.limits.items())
    return [
        (f"tinyrefinery fit photos/ {budget}", "Train a network on your own pictures"),
        (f"tinyrefinery verify {artifact}", "Replay the test vectors"),
        (f"tinyrefinery bench {artifact}", "List its cost on other devices"),
        (f"tinyrefinery report {run}", "Print the whole table of the networks"),
    ]


def _lines(shipped: ShippedRun) -> list[_Line]:
    return [
        _Line(
            name=group.name,
            model=shown_model(group.first.model),
            labels=group.first.labels,
            train=percent(group.spread("train_top1")),
            test=percent(group.spread("held_out_top1")),
            label_kl=nats(group.spread("label_kl")),
            n=len(group.runs),
            ships=shipped.stage in group.runs,
        )
        for group in shipped.groups
    ]
