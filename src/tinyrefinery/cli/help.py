"""What `--help` prints: usage, description, and panels of arguments, options and commands.

Typer's own renderer puts types in a column of their own, which leaves too little room at 80
columns. Its imports also take as long as those of all of Typer.
"""

import os
import sys
from enum import Enum
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any, NamedTuple

import typer

from tinyrefinery.cli import streams

NARROWEST, WIDEST = 60, 100
"""Columns of the help. Longer lines are hard to read."""
FRAME = 6
"""Columns of a panel that are border, padding, or the gap between name and text."""


class Row(NamedTuple):
    """One argument, option or command."""

    name: str
    text: str
    note: str = ""
    """The default, in brackets."""


def print_help(command: Any, context: Any) -> None:
    """Print the help of a command or group, as wide as the terminal or `WIDEST` columns.

    Args:
        command: a command or group of Typer.
        context: the context that it was called in.
    """
    columns = max(NARROWEST, min(get_terminal_size().columns, WIDEST))
    usage = f"Usage: {context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    lines = wrap(usage, columns, subsequent_indent=" " * 7)
    for paragraph in (command.help or "").split("\n\n"):
        lines += ["", *wrap(paragraph, columns)]
    lines.append("")
    for panels in (_commands(command), _parameters(command, context)):
        width = max((len(row.name) for rows in panels.values() for row in rows), default=0)
        for title, rows in panels.items():
            lines += _panel(title, rows, width, columns - width - FRAME)
    lines += wrap(command.epilog or "", columns)
    streams.echo("\n".join(lines), color=False if os.environ.get("NO_COLOR") else None)


def argument_name(argument: Any) -> str:
    """An argument as in the usage line: `RUN`, `[TESTS]` or `RUNS...`."""
    name = argument.metavar or argument.name.upper()
    return f"{name if argument.required else f'[{name}]'}{'' if argument.nargs == 1 else '...'}"


def _commands(group: Any) -> dict[str, list[Row]]:
    """Panel -> the commands of a group. A command has none."""
    panels: dict[str, list[Row]] = {}
    for name, each in getattr(group, "commands", {}).items():
        panels.setdefault(each.rich_help_panel or "Commands", []).append(Row(name, each.help))
    return panels


def _parameters(command: Any, context: Any) -> dict[str, list[Row]]:
    """Panel -> arguments, and options."""
    panels: dict[str, list[Row]] = {}
    for each in command.get_params(context):
        argument = each.param_type_name == "argument"
        name = argument_name(each) if argument else _option_name(each)
        row = Row(name, each.help or "", _note(each, context))
        panels.setdefault("Arguments" if argument else "Options", []).append(row)
    return panels


def _option_name(option: Any) -> str:
    """An option with its short form and the kind of its value, e.g. `-o, --out FILE`."""
    names = ", ".join(sorted(option.opts, key=len))
    if option.secondary_opts:
        names = f"{names} / {option.secondary_opts[0]}"
    return names if option.is_flag else f"{names} {option.metavar}"


def _note(parameter: Any, context: Any) -> str:
    """`[required]`, the default, or nothing."""
    if parameter.required:
        return "[required]" if parameter.param_type_name == "option" else ""
    default = _default(parameter, context)
    return f"[default: {default}]" if default else ""


def _default(parameter: Any, context: Any) -> str:
    """The default as text, empty where there is none to show."""
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.get_default(context, call=False)
    if isinstance(value, bool):
        return (parameter.opts if value else parameter.secondary_opts or [""])[0]
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, str | int | Path) else ""


def _panel(title: str, rows: list[Row], name_width: int, text_width: int) -> list[str]:
    """The lines of a box with a title, and one row for each name."""
    encoding = (sys.stdout.encoding or "").lower()
    left, right, bar, line, low_left, low_right = "╭╮│─╰╯" if "utf" in encoding else "++|-++"
    inner = name_width + text_width + FRAME - 2
    lines = [f"{left}{line} {title} {line * (inner - len(title) - 3)}{right}"]
    for row in rows:
        name = row.name
        for text in _wrapped(row, text_width):
            shown = typer.style(f"{name:<{name_width}}", fg="cyan", bold=True)
            lines.append(f"{bar} {shown}  {text:<{text_width}} {bar}")
            name = ""
    return [*lines, f"{low_left}{line * inner}{low_right}"]


def _wrapped(row: Row, width: int) -> list[str]:
    """The text and its note, which starts a line of its own if it does not fit whole."""
    lines = wrap(row.text, width, break_on_hyphens=False)
    if row.note and len(lines[-1]) + 1 + len(row.note) <= width:
        return [*lines[:-1], f"{lines[-1]} {row.note}"]
    return [*lines, *wrap(row.note, width)]
