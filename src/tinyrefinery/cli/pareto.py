"""`tinyrefinery pareto`: accuracy against cost of networks and artifacts."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Exports, option, output_file
from tinyrefinery.errors import look_up
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable


def pareto(
    models: Annotated[
        list[str], typer.Argument(help="Run folders, network files, ONNX or LiteRT files.")
    ],
    against: Annotated[str, option("COST", "bytes, ram, macs or parameters.")] = "bytes",
    out: Annotated[Path, output_file("HTML page to write.")] = Path("pareto.html"),
    exports: Exports = Path("exports"),
) -> None:
    """Compare accuracy and cost of models, with published networks.

    Published networks are shown where they were measured on the same data. All numbers of yours
    come from the records of runs and artifacts.
    """
    from tinyrefinery.reports.pareto import COSTS
    from tinyrefinery.reports.pareto_page import pareto_lines, write_pareto_page
    from tinyrefinery.sharing.cost_points import cost_points

    look_up("cost", against, COSTS)
    found = cost_points(models, [exports])
    console = streams.console()
    for panel, points in found.panels.items():
        table = FittedTable(
            "* no other one here beats it in both. Accuracy in percent, with its 95 % interval."
        )
        table.add_text("network", 12)
        table.add_numbers("accuracy", "images", "bytes", "arena\nbytes", "MACs", "para-\nmeters")
        lines = pareto_lines(points, against)
        for line in lines:
            name = escape(line.name) + (" *" if line.on_front else "")
            source = f"\n[dim]{escape(line.source)}[/dim]" if line.source else ""
            costs = (line.bytes, line.ram, line.macs, line.parameters)
            table.add_row(name + source, line.accuracy.replace(" (", "\n("), line.n, *costs)
        streams.echo(panel)
        console.print(table)
    write_pareto_page(found.panels, against, found.notes, out)
    for text in (*found.notes, f"Page: {out}"):
        streams.echo(text)
