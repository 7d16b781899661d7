"""Commands and groups whose files are imported when a command is called or its help is shown."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from tinyrefinery.cli.catalog import Commands
from tinyrefinery.cli.help import argument_name, print_help
from tinyrefinery.errors import did_you_mean

OTHER_NAMES = {"train": "run"}
"""Names that are tried for a command, where the nearest name misleads."""


class Command(TyperCommand):
    """A command that is ready to run."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS]` and the arguments, in capitals as the help names them."""
        arguments = [each for each in self.params if each.param_type_name == "argument"]
        return ["[OPTIONS]", *map(argument_name, arguments)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help. Like Typer, print it at once: the formatter stays empty."""
        print_help(self, ctx)


class LazyCommand(TyperCommand):
    """A command in a list. It has a name and a help, and its file is not imported yet."""

    def __init__(self, name: str, place: str, help: str, panel: str | None) -> None:
        super().__init__(name, help=help, rich_help_panel=panel)
        self.place = place

    def load(self) -> Any:
        """Import the command's file and return the command that runs."""
        file, function = self.place.split(":")
        app = typer.Typer(add_completion=False)
        module = import_module(f"tinyrefinery.cli.{file}")
        app.command(self.name, cls=Command)(getattr(module, function))
        return typer.main.get_command(app)


class LazyGroup(TyperGroup):
    """Commands that are listed without an import, and imported when they are called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name, loaded, and the other arguments."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            ctx.fail(f"No such command '{args[0]}'.{self._near(args[0])}")
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest

    def _near(self, name: str) -> str:
        """A command of a group, if it has that name, or the nearest command."""
        groups = {
            each: command.commands
            for each, command in self.commands.items()
            if isinstance(command, LazyGroup)
        }
        inner = {each: f"{group} {each}" for group, inside in groups.items() for each in inside}
        meant = (inner | OTHER_NAMES if self.name == "tinyrefinery" else inner).get(name)
        return f" Did you mean '{meant}'?" if meant else did_you_mean(name, self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help. Like Typer, print it at once: the formatter stays empty."""
        print_help(self, ctx)


def listed(commands: Commands, panel: str | None = None) -> dict[str, Any]:
    """The commands of one panel, or of a group, by name."""
    found: dict[str, Any] = {}
    for name, (place, help) in commands.items():
        if isinstance(place, str):
            found[name] = LazyCommand(name, place, help, panel)
        else:
            found[name] = LazyGroup(
                name=name,
                commands=listed(place),
                help=help,
                rich_help_panel=panel,
                no_args_is_help=True,
            )
    return found
