"""`tinyrefinery`: the command line, and how errors are reported in the terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.catalog import PANELS
from tinyrefinery.cli.group import LazyGroup, listed
from tinyrefinery.errors import DEFECT, INTERRUPTED, DataError, RefineryError, no_permission
from tinyrefinery.options.launch import launched, rank

RESUMING = {"demo", "fit", "run", "reproduce", "detect", "label-store"}
"""Commands that resume where they were interrupted. The others start again."""
TOGETHER = {"run", "reproduce"}
"""Commands that several processes can do together."""


class CommandLine(LazyGroup):
    """All commands. Errors of the user's input become one message and an exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        own = self.commands
        self.commands = {}
        for panel, commands in PANELS.items():
            self.commands |= listed(commands, panel)
        self.commands |= own

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Read the command line. `--help` and `--version` print here."""
        with _endings():
            return super().make_context(*arguments, **extra)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; of several processes only those that train together may have it."""
        name, command, rest = super().resolve_command(ctx, args)
        _check_launch(name)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Report a `RefineryError`, a place without permission or Ctrl-C."""
        with _endings():
            try:
                return super().invoke(ctx)
            except RefineryError as error:
                if ctx.params.get("debug"):
                    raise
                _report(str(error), "red")
                raise typer.Exit(error.exit_code) from error
            except PermissionError as error:
                if ctx.params.get("debug") or error.filename is None:
                    raise
                _report(str(no_permission(error)), "red")
                raise typer.Exit(DataError.exit_code) from error
            except KeyboardInterrupt as stop:
                way = ": rerun the same command to resume from the last checkpoint"
                _report(f"interrupted{way if ctx.invoked_subcommand in RESUMING else ''}", "yellow")
                raise typer.Exit(INTERRUPTED) from stop


@contextmanager
def _endings() -> Iterator[None]:
    """Errors that Typer would end with exit code 1, which means that a check failed."""
    try:
        yield
    except (EOFError, OSError) as error:
        if not (code := streams.output_failure()):
            sys.excepthook(type(error), error, error.__traceback__)
        raise typer.Exit(code or DEFECT) from error


def _check_launch(command: str | None) -> None:
    """Refuse several processes of a command that one process does.

    Raises:
        RefineryError: if a launcher started more than one.
    """
    started = launched()
    if started and started.devices * started.nodes > 1 and command not in TOGETHER:
        raise RefineryError(
            f"tinyrefinery {command} is the work of one process: start it without torchrun or srun"
        )


def _report(message: str, color: str) -> None:
    if (number := rank()) > 0:
        message = f"process {number}: {message}"
    streams.echo(typer.style(streams.narrowed(message), fg=color), err=True)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version  # not needed for --help

    try:
        streams.echo(f"tinyrefinery {version('tinyrefinery')}")
    except PackageNotFoundError:
        streams.echo("tinyrefinery, not installed")
    raise typer.Exit


app = typer.Typer(
    name="tinyrefinery",
    cls=CommandLine,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Help of one command: tinyrefinery COMMAND --help",
)


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. Goes before COMMAND.")
    ] = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """The open factory for tiny vision models: refine labels, train chains, measure, ship."""


def main() -> None:
    """Entry point of the console script. An error that no command expects exits with `DEFECT`."""
    streams.prepare_streams()
    try:
        app(prog_name="tinyrefinery")
    except SystemExit as end:
        sys.exit(streams.output_failure(int(end.code or 0)))
    except Exception as error:  # also a RefineryError with --debug
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(streams.output_failure(getattr(error, "exit_code", DEFECT)))
