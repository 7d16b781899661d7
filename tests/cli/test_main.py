"""How the command line treats errors, Ctrl-C and its own start."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from tinyrefinery.cli import main
from tinyrefinery.errors import ChainError, RecipeError


def app_that_raises(error: BaseException, command: str = "fail") -> typer.Typer:
    app = typer.Typer(cls=main.Guarded, pretty_exceptions_enable=False)
    app.callback()(main.options)

    @app.command(command)
    def fail() -> None:
        raise error

    return app


@pytest.mark.parametrize("error", [RecipeError("a: b"), ChainError("line 1\nline 2")])
def test_an_error_is_its_message_and_its_code(error):
    result = CliRunner().invoke(app_that_raises(error), ["fail"])
    assert result.stderr == f"{error}\n"
    assert result.stdout == ""
    assert result.exit_code == error.exit_code


def test_debug_lets_the_error_through():
    result = CliRunner().invoke(app_that_raises(RecipeError("a: b")), ["--debug", "fail"])
    assert isinstance(result.exception, RecipeError)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("run", "interrupted; the same command goes on from its last checkpoint\n"),
        ("audit", "interrupted\n"),
    ],
)
def test_ctrl_c_tells_whether_the_command_goes_on(command, told):
    result = CliRunner().invoke(app_that_raises(KeyboardInterrupt(), command), [command])
    assert result.stderr == told
    assert result.exit_code == 130


def test_a_defect_of_ours_keeps_its_traceback():
    result = CliRunner().invoke(app_that_raises(ZeroDivisionError()), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_help_names_every_command_and_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from tinyrefinery.cli.main import app\n"
        "try: app(['--help'], prog_name='tinyrefinery')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'timm', 'pyarrow'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().splitlines()[-1] == "[]"
    assert all(command in out.stdout for command in main.COMMANDS)
