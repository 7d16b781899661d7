"""`tinyrefinery`: the list of commands, and how errors reach the person at the terminal.

Command files import what is heavy inside their functions, so that `--help` needs no torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tinyrefinery.errors import RefineryError

COMMANDS = {
    "demo": "demo:demo",
    "run": "run:run",
    "reproduce": "run:reproduce",
    "evaluate": "evaluate:evaluate",
    "label-quality": "label_quality:label_quality",
    "latency": "latency:latency",
    "test": "data_tests:judge",
    "compare": "data_tests:compare",
    "history": "data_tests:history",
    "init": "data_tests:init",
    "label-store": "label_store:app",
    "detect": "detect:app",
    "audit": "audit:audit",
    "mine": "mine:mine",
    "review": "review:review",
    "apply": "apply:apply",
    "label": "label:label",
    "recipe": "recipe:app",
    "refiner": "refiner:refiner",
    "refiner-gains": "refiner_gains:refiner_gains",
    "report": "report:report",
    "saliency": "saliency:saliency",
    "variance": "variance:variance",
}
"""Command -> file in this folder and what it holds: a function, or an app of further commands."""

RESUMING = {"demo", "run", "reproduce", "detect", "label-store"}
"""Commands that go on where they were interrupted; the others begin anew."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


class Guarded(TyperGroup):
    """The commands, with errors that a user can mend told in one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a `RefineryError` becomes its message, Ctrl-C tells how to go on."""
        try:
            return super().invoke(ctx)
        except RefineryError as error:
            if ctx.params.get("debug"):
                raise
            _say(str(error), "red")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as stop:
            goes_on = ctx.invoked_subcommand in RESUMING
            way = "; the same command goes on from its last checkpoint" if goes_on else ""
            _say(f"interrupted{way}", "yellow")
            raise typer.Exit(INTERRUPTED) from stop


def _say(message: str, color: str) -> None:
    typer.secho(message, fg=color, err=True)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"tinyrefinery {version('tinyrefinery')}")
    except PackageNotFoundError:
        typer.echo("tinyrefinery, not installed")
    raise typer.Exit


app = typer.Typer(
    name="tinyrefinery",
    cls=Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    """The open factory for tiny vision models: refine labels, train chains, measure, ship."""


def _register(name: str, place: str) -> None:
    file, holds = place.split(":")
    held = getattr(import_module(f"tinyrefinery.cli.{file}"), holds)
    if isinstance(held, typer.Typer):
        app.add_typer(held, name=name)
    else:
        app.command(name)(held)


for _name, _place in COMMANDS.items():
    _register(_name, _place)


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="tinyrefinery")
