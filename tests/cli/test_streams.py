"""Output to any terminal, file or pipe: no traceback, and an exit code that means one thing."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.commands import UNLOADED
from tests.running import go
from tinyrefinery.cli import main, streams

TESTS = """
tests:
  all: {at_least: 0.999, min_n: 1}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished run, data tests and pictures."""
    folder = tmp_path_factory.mktemp("sträße")
    go(folder, overrides=["seed=0"])
    (folder / "data_tests.yaml").write_text(TESTS, "utf-8")
    return folder


def call(monkeypatch, encoding, *arguments, kind=io.TextIOWrapper):
    """Exit code, output and errors of a command whose streams have an encoding."""
    out, err = (kind(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sys, "argv", ["tinyrefinery", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main.main()
    written = [stream.buffer.getvalue().decode(encoding) for stream in (out, err)]
    monkeypatch.undo()
    return stop.value.code, *written


COMMANDS = {
    "run": ("tiny.yaml", "--runs", ".", "--name", "run", "seed=0"),
    "evaluate": ("run", "--categories"),
    "report": ("run",),
    "test": ("run", "--baseline-stage", "plain", "--html", "tests.html"),
    "compare": ("run", "run/stages/plain", "--html", "compare.html"),
    "history": ("all", "run"),
    "init": ("new.yaml", "--force"),
    "audit": ("tiny.yaml",),
    "mine": ("run", "--budget", "5"),
    "predict": ("run", "Ω日.png"),
    "saliency": ("run", "--out", "saliency.html"),
    "refiner": ("run", "--images", "20", "--crops", "2"),
    "label-quality": ("run", "--images", "20"),
    "latency": ("run", "--passes", "2"),
    "variance": ("run",),
    "recipe check": ("tiny.yaml",),
    "recipe list": (),
    "recipe show": ("tiny.yaml",),
    "recipe schema": (),
    "label-store make": ("tiny.yaml", "stages.refined.labels.store=labels/"),
}


@pytest.mark.parametrize(
    ("command", "encoding"),
    [
        *((command, "ascii") for command in COMMANDS),
        *((command, "cp1252") for command in ("run", "report", "test", "refiner")),
    ],
)
def test_no_command_ends_in_a_traceback(place, monkeypatch, command, encoding):
    monkeypatch.chdir(place)
    for name, value in {"COLUMNS": "20", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    stages = {"run/stages/plain": next(iter(place.glob("run/stages/plain-*")))}
    arguments = [stages.get(word, word) for word in COMMANDS[command]]
    code, out, err = call(monkeypatch, encoding, *command.split(), *arguments)
    assert "Traceback" not in out + err, err
    assert code == (1 if command == "test" else 2 if command in ("predict",) else 0), err


@pytest.mark.parametrize("command", sorted(UNLOADED))
def test_help_prints_in_ascii(monkeypatch, command):
    code, out, err = call(monkeypatch, "ascii", *command.split(), "--help")
    assert (code, err) == (0, "")
    assert "Usage:" in out


def test_characters_have_a_plain_form(monkeypatch, capsys):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    streams.prepare_streams()
    print("−0.5 ± 0.1 → … 日 caf\udce9")
    stream.flush()
    assert stream.buffer.getvalue() == rb"-0.5 +- 0.1 -> ... \u65e5 caf\xe9" + b"\n"


def start(*arguments, stdout, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "tinyrefinery", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )


def test_the_c_locale():
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = start("recipe", "list", stdout=subprocess.PIPE, **environment)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert out.isascii()


@pytest.mark.parametrize("arguments", [["recipe", "list"], ["recipe", "schema"], ["--help"]])
def test_a_reader_that_goes_away_is_no_failed_check(arguments):
    read, write = os.pipe()
    os.close(read)
    process = start(*arguments, stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_full_disk_is_told():
    with open("/dev/full", "w") as full:
        process = start("recipe", "list", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert b"stdout is not writable: No space left" in err


@pytest.mark.parametrize("error", [EOFError("torn"), BrokenPipeError(32, "Broken pipe")])
def test_errors_that_typer_would_end_with_1_are_defects(monkeypatch, capsys, error):
    from tests.cli.test_main import app_that_raises

    monkeypatch.setattr(main, "app", app_that_raises(error))
    monkeypatch.setattr("sys.argv", ["tinyrefinery", "fail"])
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert stop.value.code == 70
    assert "Traceback" in capsys.readouterr().err


class Screen(io.TextIOWrapper):
    """A stream that is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("kind", [Screen, io.TextIOWrapper])
def test_names_give_no_commands_to_a_terminal(monkeypatch, tmp_path, kind):
    """A class whose name would set the window's title. A pipe gets the name as it is."""
    folder, random = tmp_path / "photos", np.random.default_rng(0)
    for name in ("x\x1b]0;y", "z"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (24, 24, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    command = ("audit", folder, "--out", tmp_path / "audit")
    code, out, _ = call(monkeypatch, "utf-8", *command, kind=kind)
    assert code == 0
    assert ("x\\x1b]0;y" in out) == (kind is Screen)
    assert ("\x1b]" in out) == (kind is not Screen)


@pytest.mark.parametrize("width", [20, 60])
def test_lines_on_a_terminal_break_between_words(width):
    """A file gets each line whole. Commands that may be copied are broken in 20 columns only."""
    prose = "food refined (seed 0): 8 of 8 pictures predicted, and photos/of/a/long/name.jpg is not"
    command = "Next: tinyrefinery predict runs/food photos/ --csv predictions.csv --json file.json"
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=width, force_terminal=terminal)
        streams.print_lines(console, prose, command)
        lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
        if not terminal:
            assert lines == [prose, command]
            continue
        assert " ".join(lines) == f"{prose} {command}"
        too_long = [line for line in lines if len(line) > width]
        assert too_long == (["photos/of/a/long/name.jpg"] if width == 20 else [command])


def test_an_error_in_a_narrow_terminal_breaks_between_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    command = ("predict", "runs/nowhere", "x.png")
    _, _, told = call(monkeypatch, "utf-8", *command, kind=Screen)
    assert "x.png: there is no\nsuch file or folder\nof pictures" in told


@pytest.mark.parametrize("terminal", [True, False])
def test_names_in_lines_do_not_color_a_terminal(terminal):
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal)
    streams.print_lines(console, "a\x1b[31mb\nc")
    shown = "a\\x1b[31mb\nc\n" if terminal else "a\x1b[31mb\nc\n"
    assert console.file.getvalue() == shown
