"""What `--help` prints: usage, description, and panels of arguments, options and commands.

Typer's own renderer puts types in a column of their own, which leaves too little room at 80
columns. It also imports twice as much.
"""

from enum import Enum
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

WIDEST = 100
"""Columns at most. Longer lines are hard to read."""
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
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    usage = Table.grid(padding=(0, 1))
    usage.add_row("Usage:", Text(command_usage(command, context), style="bold"))
    console.print(usage)
    for paragraph in (command.help or "").split("\n\n"):
        console.print(Padding(Text(paragraph.replace("\n", " ").strip()), (1, 0, 0, 0)))
    console.print()
    for panels in (_commands(command), _parameters(command, context)):
        width = max((len(row.name) for rows in panels.values() for row in rows), default=0)
        for title, rows in panels.items():
            console.print(_panel(title, rows, width, console.width - width - FRAME))
    if command.epilog:
        console.print(Text(command.epilog))


def command_usage(command: Any, context: Any) -> str:
    """The usage line, e.g. `tinyrefinery test [OPTIONS] RUN [TESTS]`."""
    return f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"


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


def _panel(title: str, rows: list[Row], name_width: int, text_width: int) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True, min_width=name_width)
    grid.add_column()
    for name, text, note in rows:
        shown = Text(text)
        if note:  # on the same line only if all of it fits there
            used = len(wrap(text, text_width)[-1])
            gap = " " if used + 1 + len(note) <= text_width else "\n"
            shown.append(f"{gap}{note}", style="dim")
        grid.add_row(Text(name), shown)
    return Panel(grid, title=title, title_align="left", border_style="dim")
