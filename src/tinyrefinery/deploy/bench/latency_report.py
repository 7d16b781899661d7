"""Report latencies: a table, its notes, and files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyrefinery.files import write_atomic, write_csv
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import NOTHING, kilo

COLUMNS = (
    *("network", "backend", "height", "width", "parameters", "macs", "n"),
    *("median", "min", "p10", "p90", "p99", "cpu", "ratio"),
)
"""Columns of latency.csv; times in milliseconds."""
Line = Mapping[str, Any]
_VERSIONS = ("torch", "onnxruntime", "litert")


def latency_table(
    lines: Sequence[Line],
    devices: Mapping[str, str] | None = None,
    printed: Mapping[str, Mapping[str, float]] | None = None,
) -> FittedTable:
    """One row per network and backend, at most 80 characters wide.

    Args:
        lines: from `measuring.measure`.
        devices: the devices of a paper: short name -> column title.
        printed: the paper's milliseconds, by network and device. Networks that were not measured
            here get a row too.
    """
    table = FittedTable()
    table.add_text("network", 12)
    table.add_numbers("ms\nmedian", "10 to\n90 %", "CPU\nms", "CPU\nratio")
    devices, printed = devices or {}, printed or {}
    table.add_numbers(*(f"paper\n{title}" for title in devices.values()))
    for line in lines:
        name = escape(str(line["network"]))
        size = f"{kilo(line['parameters'])} parameters, {kilo(line['macs'])} MACs"
        table.add_row(
            f"{name}\n[dim]{line['backend']}; {size}[/dim]",
            _ms(line["median"]),
            f"{_ms(line['p10'])} to {_ms(line['p90'])}",
            _ms(line["cpu"]),
            f"{line['ratio']:.2f}",
            *(_printed(printed, line["network"], device) for device in devices),
        )
    measured = {line["network"] for line in lines}
    for name in [name for name in printed if name not in measured]:
        cells = [_printed(printed, name, device) for device in devices]
        table.add_row(f"{escape(name)}\n[dim]not measured[/dim]", *[NOTHING] * 4, *cells)
    return table


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _printed(printed: Mapping[str, Mapping[str, float]], name: str, device: str) -> str:
    value = printed.get(name, {}).get(device)
    return NOTHING if value is None else f"{value:g}"


def latency_notes(result: Mapping[str, Any], method: str | None = None) -> list[str]:
    """Notes below the table: machine, settings and how to read the numbers.

    Args:
        result: from `measuring.measure`.
        method: how the paper measured, if the table has its numbers.
    """
    machine, settings = result["machine"], result["settings"]
    first = result["lines"][0]
    of_torch = next((n for n in result["lines"] if n["parameters"] is not None), first)
    versions = {k: v for k, v in machine["versions"].items() if k in _VERSIONS and v}
    software = ", ".join(f"{name} {number}" for name, number in versions.items())
    threads = f"{settings['threads']} thread{'' if settings['threads'] == 1 else 's'}"
    images = f"{settings['batch']} image{'' if settings['batch'] == 1 else 's'} per pass"
    load = [f"{value:.1f}" for value in machine["load"] if value is not None]
    notes = [
        f"{machine['processor']}, {machine['cores']} cores; {threads}, {images}; {software}."
        + (f" Load {' to '.join(load)}." if load else ""),
        f"Medians of {first['n']} interleaved passes. CPU: time of this process only. Ratio: CPU "
        f"time relative to {of_torch['network']} with the same backend.",
    ]
    if any(line["parameters"] is None for line in result["lines"]):
        notes.append(
            f"Files run in their own runtime. Their ratio is relative to {first['network']} with "
            f"{first['backend']}."
        )
    if result["busy"]:
        notes.append("The machine was busy: wall times exceed CPU times. Compare CPU times.")
    if method:
        notes.append(f"Paper: {method}. Devices and software differ: compare ratios only.")
    return notes


def write_latency(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `latency.json` with everything, and `latency.csv`, one row per network and backend."""
    write_atomic(folder / "latency.json", json.dumps(result, indent=1, allow_nan=False))
    values = ([line.get(name) for name in COLUMNS] for line in result["lines"])
    rounded = ([f"{v:.5g}" if isinstance(v, float) else v for v in row] for row in values)
    write_csv(folder / "latency.csv", COLUMNS, rounded)
