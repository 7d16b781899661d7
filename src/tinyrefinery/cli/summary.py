"""`tinyrefinery summary`: the layers of a network and what they cost."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Row, Seed, Stage, option, output_file
from tinyrefinery.files import write_atomic
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import NOTHING, kilo

if TYPE_CHECKING:
    from tinyrefinery.deploy.costs.layer_costs import LayerCost
    from tinyrefinery.deploy.costs.summarizing import NetworkSummary


def summary(
    model: Annotated[
        str,
        typer.Argument(
            help="Run folder, network file, ONNX or LiteRT file, timm:NAME, or an architecture."
        ),
    ],
    size: Annotated[
        int | None, option("PIXELS", "Image side of an architecture.", default="224", min=1)
    ] = None,
    classes: Annotated[
        int | None, option("N", "Classes of an architecture.", default="10", min=1)
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    out: Annotated[Path | None, output_file("JSON file to write.", "--json")] = None,
) -> None:
    """List layers, parameters, bytes, MACs and peak RAM.

    Bytes are those of packed weights: a bit per binary weight. Nothing is trained. A binary or
    lookup network is packed and timed against float, one thread each.
    """
    from tinyrefinery.deploy.costs.summarizing import summarize

    found = summarize(model, size=size, classes=classes, stage=stage, seed=seed, row=row)
    console = streams.console()
    console.print(_table(found))
    streams.print_lines(console, *_lines(found))
    if out is not None:
        write_atomic(out, json.dumps(found.as_dict(), indent=1))


def _table(found: "NetworkSummary") -> FittedTable:
    """One row per layer. Without binary layers, without their column."""
    table = FittedTable()
    table.add_text("layer", 12)
    table.add_text("kind", 10)
    table.add_numbers("output", "parameters", "bytes", "MACs")
    if found.binary_macs:
        table.add_numbers("binary\nMACs")
    for layer in found.layers:
        table.add_row(*_cells(layer, binary=bool(found.binary_macs)))
    return table


def _cells(layer: "LayerCost", *, binary: bool) -> list[str]:
    shape = "x".join(map(str, layer.output)) or NOTHING
    costs = [layer.parameters, layer.bytes, layer.macs, *([layer.binary_macs] if binary else [])]
    counts = [kilo(count) if count else NOTHING for count in costs]
    return [escape(layer.name), escape(layer.kind), shape, *counts]


def _lines(found: "NetworkSummary") -> list[str]:
    """The sums, one line each."""
    height, width = found.size
    file = "" if found.file is None else f" The file has {found.file:,} bytes."
    smaller = 4 * found.parameters / max(found.bytes, 1)
    packed = f", {smaller:.1f} times smaller than in 32 bits" if smaller > 1.05 else ""
    lines = [
        f"{found.name}: {found.channels} x {height} x {width} pixels, {len(found.layers)} layers",
        f"Parameters: {found.parameters:,}",
        f"Bytes of {'packed ' if packed else ''}weights: {found.bytes:,}{packed}.{file}",
        f"Multiply-accumulates per image: {found.macs:,}",
        f"Peak RAM of activations: {found.peak:,} bytes, without the kernels' scratch memory",
    ]
    if found.binary_macs:
        lines.insert(4, f"Binary multiply-accumulates per image: {found.binary_macs:,}")
    if found.packed is not None:
        lines.append(f"Packed: {found.packed}")
    return lines
