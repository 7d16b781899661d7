"""`tinyrefinery bench`: what models cost on a device, computed without it, and host latency."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Flash, Macs, Ram, Tflm, option, output_file, tflm_tree
from tinyrefinery.device.profiles import DEVICES, Device, device_named
from tinyrefinery.errors import CHECK_FAILED, RecipeError
from tinyrefinery.files import write_atomic
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import NOTHING, four_digits, kilo

LAYERS = 15
"""Layers in the printed table."""
ONNX = ".onnx"

if TYPE_CHECKING:
    from tinyrefinery.deploy.bench.device_table import DeviceLine, DeviceTable
    from tinyrefinery.options.budget import Budget


On = Annotated[
    list[str] | None,
    option("PROCESSOR", "Count instructions in an emulator, e.g. cortex-m4. Repeatable."),
]
Layers = Annotated[
    bool, typer.Option("--layers", help="List the time of each layer of ONNX files.")
]


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Run folders, network files, ONNX or LiteRT files, timm:NAME, architectures."
        ),
    ] = None,
    size: Annotated[int, option("PIXELS", "Image side of untrained architectures.", min=1)] = 224,
    classes: Annotated[int, option("N", "Classes of untrained architectures.", min=2)] = 10,
    passes: Annotated[int, option("N", "Timed passes per model.", min=1)] = 100,
    flash: Flash = None,
    ram: Ram = None,
    macs: Macs = None,
    device: Annotated[
        list[str] | None, option("NAME", "Check the memory of a device, e.g. pico. Repeatable.")
    ] = None,
    on: On = None,
    tflm: Tflm = None,
    layers: Layers = False,
    devices: Annotated[bool, typer.Option("--devices", help="List the devices and exit.")] = False,
    out: Annotated[Path | None, output_file("JSON file to write.", "--json")] = None,
) -> None:
    """List flash, arena, MACs and latency of models.

    PyTorch networks are converted to int8 LiteRT files first. Flash, arena and multiply-accumulates
    are computed from the files, latency is measured here. Exits with 1 if a model is above a limit.
    """
    from tinyrefinery.deploy.bench.device_table import device_table
    from tinyrefinery.options.budget import read_budget

    if devices:
        _show_devices()
        return
    models = models or []
    chosen = [device_named(name) for name in device or []]
    budget = read_budget(flash, ram, macs)
    tree = _checked_tree(on, tflm)
    if budget or chosen or on:
        _check_limited(models)
    profiled = _profiled(models) if layers else []
    found = device_table(
        models,
        size=size,
        classes=classes,
        passes=passes,
        emulated=on or [],
        tree=tree,
        accelerators=[each.accelerator for each in chosen if each.accelerator],
        say=lambda text: streams.echo(text, err=True),
    )
    _show(found)
    above = [*_above(found, budget), *_show_fit(found, chosen)]
    _show_counted(found)
    facts = {
        "above": above,
        "devices": [asdict(each) for each in chosen],
        "layers": {str(path): _show_layers(path, passes) for path in profiled},
    }
    _finish(found, facts, out)


def _finish(found: "DeviceTable", facts: dict[str, Any], out: Path | None) -> None:
    """Print what is above a limit, write the figures, and exit with 1 if something is above."""
    for text in facts["above"]:
        streams.echo(f"FAIL {text}")
    if out is not None:
        write_atomic(out, json.dumps(asdict(found) | facts, indent=1))
    if facts["above"]:
        raise typer.Exit(CHECK_FAILED)


def _checked_tree(on: Sequence[str] | None, tflm: Path | None) -> Path | None:
    """The sources for the processors of `--on`, which all count instructions."""
    from tinyrefinery.deploy.emulation.counting import check_counting

    tree = tflm_tree(on, tflm)
    for processor in on or []:
        check_counting(processor)
    return tree


def _above(found: "DeviceTable", budget: "Budget") -> list[str]:
    """What is above the budget, for people."""
    from tinyrefinery.device.excess import excesses

    return [
        f"{line.name}: {text}"
        for line in found.lines
        if line.cost is not None
        for text in excesses(budget, line.cost)
    ]


def _check_limited(models: Sequence[str]) -> None:
    """Refuse ONNX files: limits are of LiteRT files."""
    for name in models:
        if name.lower().endswith(ONNX):
            raise RecipeError(
                f"{name}: --flash, --ram, --macs, --device and --on are about LiteRT files, and "
                "this is an ONNX file. Name the network that it was made from, or leave them out"
            )


def _profiled(models: Sequence[str]) -> list[Path]:
    """The ONNX files: no other runtime reports the time of its layers."""
    files = [Path(name).expanduser() for name in models if name.lower().endswith(ONNX)]
    if not files:
        raise RecipeError(
            "--layers: only ONNX Runtime reports the time of each layer. Name an ONNX file, e.g. "
            "from tinyrefinery export MODEL --to onnx"
        )
    return files


def _show_layers(path: Path, passes: int) -> list[dict[str, Any]]:
    """Print the most expensive layers of an ONNX file; returns all."""
    from tinyrefinery.deploy.bench.layer_times import layer_times

    found = layer_times(path, passes)
    table = FittedTable()
    table.add_text("layer", 12)
    table.add_text("operator")
    table.add_numbers("ms\np50", "share")
    for each in found[:LAYERS]:
        time = four_digits(each.milliseconds)
        table.add_row(escape(each.layer), each.kind, time, f"{each.share:.1%}")
    console = streams.console()
    console.print(table)
    streams.print_lines(
        console,
        f"{path.name}: the most expensive of {len(found)} layers, as ONNX Runtime fused them, one "
        "thread. Profiling makes a pass slower: compare layers with each other only.",
    )
    return [asdict(each) for each in found]


def _show_devices() -> None:
    """The table of devices."""
    table = FittedTable()
    table.add_text("device", 12)
    table.add_text("processor")
    table.add_numbers("MHz", "flash\nbytes", "RAM\nbytes")
    for each in DEVICES.values():
        flash, ram = (NOTHING if v is None else f"{v:,}" for v in (each.flash, each.ram))
        name = f"{each.name}\n[dim]{escape(each.title)}\n{each.source}[/dim]"
        table.add_row(name, each.processor, f"{each.mhz:,}", flash, ram)
    streams.console().print(table)


def _show_fit(found: "DeviceTable", devices: Sequence[Device]) -> list[str]:
    """Print whether each model fits into each device; returns what doesn't."""
    from tinyrefinery.device.excess import excesses

    above = []
    for line, cost in ((line, line.cost) for line in found.lines if line.cost is not None):
        for device in devices:
            over = {each.name: each for each in excesses(device.budget, cost)}
            for name, limit in device.budget.limits.items():
                takes = cost.flash if name == "flash" else cost.ram
                verdict = "no" if name in over else "yes"
                streams.echo(
                    f"{line.name} fits into the {limit:,} bytes of {name} of {device.name}: "
                    f"{verdict}, it takes {takes:,}"
                )
            above += [f"{line.name} on {device.name}: {each}" for each in over.values()]
        for each in line.ethos:
            streams.echo(
                f"{line.name} on {each.accelerator}: {each.cycles:,} cycles and {each.sram:,} "
                f"bytes of SRAM, an estimate of Vela {each.vela} ({each.system}, {each.memory}). "
                f"{each.processor_operators} operators run on the processor and are not counted"
            )
    return above


def _show_counted(found: "DeviceTable") -> None:
    """Print the instructions on emulated processors."""
    for line in found.lines:
        for each in line.counted:
            streams.echo(
                f"{line.name} on {each.processor}: {each.instructions:,} instructions per image, "
                f"{each.arena_used:,} bytes of arena, emulated with reference kernels"
            )


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
    streams.print_lines(console, *notes)


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
