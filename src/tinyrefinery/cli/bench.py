"""`tinyrefinery bench`: what models cost on a device, computed without it, and host latency."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Flash, Macs, Ram, option, output_file
from tinyrefinery.errors import CHECK_FAILED, RecipeError
from tinyrefinery.files import write_atomic
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import NOTHING, four_digits, kilo

if TYPE_CHECKING:
    from tinyrefinery.deploy.bench.device_table import DeviceLine, DeviceTable


def bench(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, network files, ONNX or LiteRT files, timm:NAME, architectures."
        ),
    ],
    size: Annotated[int, option("PIXELS", "Image side of untrained architectures.", min=1)] = 224,
    classes: Annotated[int, option("N", "Classes of untrained architectures.", min=2)] = 10,
    passes: Annotated[int, option("N", "Timed passes per model.", min=1)] = 100,
    flash: Flash = None,
    ram: Ram = None,
    macs: Macs = None,
    out: Annotated[Path | None, output_file("JSON file to write.", "--json")] = None,
) -> None:
    """List flash, arena, MACs and latency of models.

    PyTorch networks are converted to int8 LiteRT files first. Flash, arena and multiply-accumulates
    are computed from the files, latency is measured here. Exits with 1 if a model is above a limit.
    """
    from tinyrefinery.deploy.bench.device_table import device_table
    from tinyrefinery.device.excess import excesses
    from tinyrefinery.options.budget import read_budget

    budget = read_budget(flash, ram, macs)
    if budget and (others := [name for name in models if name.lower().endswith(".onnx")]):
        raise RecipeError(
            f"{others[0]}: --flash, --ram and --macs limit LiteRT files, and this is an ONNX file. "
            "Name the network that it was made from, or leave the limits out"
        )
    found = device_table(
        models,
        size=size,
        classes=classes,
        passes=passes,
        say=lambda text: streams.echo(text, err=True),
    )
    _show(found)
    above = [
        f"{line.name}: {text}"
        for line in found.lines
        if line.cost is not None
        for text in excesses(budget, line.cost)
    ]
    for text in above:
        streams.echo(f"FAIL {text}")
    if out is not None:
        write_atomic(out, json.dumps(asdict(found) | {"above": above}, indent=1))
    if above:
        raise typer.Exit(CHECK_FAILED)


def _show(found: "DeviceTable") -> None:
    """The table, and how to read it."""
    table = FittedTable()
    table.add_text("model", 12)
    table.add_numbers(
        "flash\nbytes", "arena\nbytes", "MACs", "ms\np50", "10 to\n90 %", "CPU\nratio"
    )
    for line in found.lines:
        table.add_row(*_cells(line))
    console = streams.console()
    console.print(table)
    notes = [
        "Flash: the file, without the interpreter. Arena: an upper bound for LiteRT for "
        "Microcontrollers with reference kernels.",
        f"Latency on this machine: one thread, one image, interleaved. Ratio: CPU time relative to "
        f"{found.lines[0].name}.",
    ]
    if found.busy:
        notes.append("The machine was busy: compare the CPU ratios only.")
    for note in notes:
        console.print(note, soft_wrap=True, markup=False, highlight=False)


def _cells(line: "DeviceLine") -> list[str]:
    cost, times = line.cost, line.times
    return [
        f"{escape(line.name)}\n[dim]{line.form}[/dim]",
        f"{line.bytes:,}",
        NOTHING if cost is None else f"{cost.ram:,}",
        NOTHING if cost is None else kilo(cost.macs),
        four_digits(times["median"]),
        f"{times['p10']:.3g} to {times['p90']:.3g}",
        f"{line.ratio:.2f}",
    ]
