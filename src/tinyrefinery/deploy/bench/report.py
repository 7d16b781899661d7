"""Latencies for people: a table, its notes, and files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from tinyrefinery.files import write_atomic, write_csv
from tinyrefinery.pages.numbers import NOTHING, kilo

COLUMNS = (
    *("network", "backend", "height", "width", "parameters", "macs", "n"),
    *("median", "min", "p10", "p90", "p99", "cpu", "ratio"),
)
"""Of latency.csv; times in milliseconds."""
Line = Mapping[str, Any]


def latency_table(
    lines: Sequence[Line],
    devices: Mapping[str, str] | None = None,
    printed: Mapping[str, Mapping[str, float]] | None = None,
) -> Table:
    """One line a network and backend; it fits into 80 columns.

    Args:
        lines: of `latency.measuring.measure`.
        devices: what a paper measured on, by short name.
        printed: the paper's milliseconds, by network and device; networks that were not measured
            have a line of their own.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("network", overflow="fold", min_width=12)
    for title in ("ms\nmedian", "10 to\n90 %", "CPU\nms", "CPU\nratio"):
        table.add_column(title, justify="right", no_wrap=True)
    devices, printed = devices or {}, printed or {}
    for title in devices.values():
        table.add_column(f"paper\n{title}", justify="right", no_wrap=True)
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
    for name in [n for n in printed if all(n != line["network"] for line in lines)]:
        cells = [_printed(printed, name, device) for device in devices]
        table.add_row(f"{escape(name)}\n[dim]not measured[/dim]", *[NOTHING] * 4, *cells)
    return table


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _printed(printed: Mapping[str, Mapping[str, float]], name: str, device: str) -> str:
    value = printed.get(name, {}).get(device)
    return NOTHING if value is None else f"{value:g}"


def latency_notes(found: Mapping[str, Any], method: str | None = None) -> list[str]:
    """What a reader of the numbers has to know."""
    machine, settings = found["machine"], found["settings"]
    first = found["lines"][0]
    versions = {k: v for k, v in machine["versions"].items() if k in ("torch", "onnxruntime") and v}
    software = ", ".join(f"{name} {number}" for name, number in versions.items())
    threads = f"{settings['threads']} thread{'' if settings['threads'] == 1 else 's'}"
    images = f"{settings['batch']} image{'' if settings['batch'] == 1 else 's'} a pass"
    load = [f"{value:.1f}" for value in machine["load"] if value is not None]
    told = [
        f"{machine['processor']}, {machine['cores']} cores; {threads}, {images}; {software}."
        + (f" Load {' to '.join(load)}." if load else ""),
        f"Medians of {first['n']} passes by turns; CPU: time of the process, without what others "
        f"took; ratio: of CPU times, to {first['network']} by the same backend in the same turn.",
    ]
    if found["busy"]:
        told.append(
            "The machine was busy: the wall's times are longer than the CPU's. Compare CPU times."
        )
    if method:
        told.append(f"Paper: {method}. Other devices and software: compare ratios only.")
    return told


def write_latency(folder: Path, found: Mapping[str, Any]) -> None:
    """Write `latency.json`, all that is known, and `latency.csv`, a line a network and backend."""
    write_atomic(folder / "latency.json", json.dumps(found, indent=1, allow_nan=False))
    values = ([line.get(name) for name in COLUMNS] for line in found["lines"])
    rounded = ([f"{v:.5g}" if isinstance(v, float) else v for v in row] for row in values)
    write_csv(folder / "latency.csv", COLUMNS, rounded)
