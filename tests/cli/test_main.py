"""How the command line reports errors and Ctrl-C."""

import pytest
import typer
from typer.testing import CliRunner

from tinyrefinery.cli import main
from tinyrefinery.errors import ChainError, RecipeError


def app_that_raises(error: BaseException, command: str = "fail") -> typer.Typer:
    app = typer.Typer(cls=main.CommandLine, pretty_exceptions_enable=False)
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
    ("command", "message"),
    [
        ("run", "interrupted: rerun the same command to resume from the last checkpoint\n"),
        ("audit", "interrupted\n"),
    ],
)
def test_ctrl_c_says_whether_the_command_resumes(command, message):
    result = CliRunner().invoke(app_that_raises(KeyboardInterrupt(), command), [command])
    assert result.stderr == message
    assert result.exit_code == 130


@pytest.mark.parametrize(
    ("error", "code"), [(ZeroDivisionError("ours"), 70), (RecipeError("a: b"), 2)]
)
def test_a_defect_and_debug_print_a_traceback(monkeypatch, capsys, error, code):
    monkeypatch.setattr(main, "app", app_that_raises(error))
    monkeypatch.setattr("sys.argv", ["tinyrefinery", "--debug", "fail"])
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert stop.value.code == code
    assert "Traceback" in capsys.readouterr().err


def test_a_place_without_permission_is_one_message():
    error = PermissionError(13, "Permission denied", "photos/locked")
    result = CliRunner().invoke(app_that_raises(error), ["fail"])
    assert result.exit_code == 2
    assert result.stderr == (
        "photos/locked: can't be opened (Permission denied). Change its permissions, or choose "
        "another place\n"
    )
