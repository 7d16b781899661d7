"""Every command of the command line, by its whole name, e.g. "recipe check"."""

from typing import Any

from tinyrefinery.cli.catalog import PANELS
from tinyrefinery.cli.group import LazyGroup, listed

LISTED: dict[str, Any] = {
    name: each for commands in PANELS.values() for name, each in listed(commands).items()
}
"""What `tinyrefinery --help` lists: commands and groups."""
GROUPS = {name: each for name, each in LISTED.items() if isinstance(each, LazyGroup)}
UNLOADED = {name: each for name, each in LISTED.items() if name not in GROUPS} | {
    f"{group} {name}": each
    for group, held in GROUPS.items()
    for name, each in held.commands.items()
}
"""Every command before its file is imported."""


def every_command() -> dict[str, Any]:
    """All commands, ready to run."""
    return {name: each.load() for name, each in UNLOADED.items()}
