"""`--help`: plain English, whole lines at 80 columns, no import that it does not need."""

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.commands import GROUPS, LISTED, UNLOADED
from tests.docs.test_plain_english import PATTERNS
from tinyrefinery.cli.main import app

VERBS = re.compile(
    "Apply|Assess|Auto-label|Benchmark|Check|Compare|Compute|Create|Draw|Export|List|Measure|"
    "Predict|Print|Publish|Review|Run|Score|Select|Show|Train|Write"
)


def help_of(*words: str) -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return result.output


def in_a_new_process(code: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    ).stdout


@pytest.mark.parametrize("name", [*UNLOADED, *GROUPS])
def test_a_commands_line_is_a_sentence_that_fits_its_panel(name):
    line = (UNLOADED | GROUPS)[name].help
    assert VERBS.fullmatch(line.split()[0].rstrip(","))
    assert line.endswith(".")
    *group, leaf = name.split()
    shown = help_of(*group).splitlines()
    assert [each for each in shown if re.fullmatch(rf"│ {leaf} +{re.escape(line)} *│", each)]


@pytest.mark.parametrize("name", UNLOADED)
def test_the_list_repeats_the_first_line_of_the_docstring(name):
    loaded = UNLOADED[name].load()
    assert loaded.help.split("\n")[0] == UNLOADED[name].help


@pytest.mark.parametrize("name", ["", *UNLOADED, *GROUPS])
def test_help_is_plain_and_no_line_is_cut(name):
    text = help_of(*name.split())
    prose = " ".join(re.sub("[╭╮│─╰╯]", "", text).split())
    assert [(word, better) for word, better, _ in PATTERNS if re.search(word, prose, re.I)] == []
    boxes = [line for line in text.splitlines() if line[:1] in "╭│╰" and line]
    assert {len(line) for line in boxes} == {80}
    assert max(map(len, text.splitlines())) == 80


@pytest.mark.parametrize("name", UNLOADED)
def test_every_option_has_a_sentence_and_names_its_value(name):
    for parameter in UNLOADED[name].load().params:
        assert re.search(r"[.)]$", parameter.help), parameter.name
        if parameter.param_type_name == "option" and not parameter.is_flag:
            assert re.fullmatch(r"[A-Z][A-Z=]*", parameter.metavar), parameter.name


def test_help_shows_defaults_units_and_what_is_required():
    text = help_of("label")
    assert "--timeout SECONDS  Time limit per HTTP request. [default: 30]" in text
    assert "ADDRESS. [required]" in " ".join(text.replace("│", " ").split())
    assert "[default: the run's validation split]" in text
    assert "Usage: tinyrefinery test [OPTIONS] RUN [TESTS]" in help_of("test")


def test_a_note_that_does_not_fit_starts_a_line():
    lines = help_of("report").splitlines()
    below = lines[next(n for n, line in enumerate(lines) if "--baseline" in line) + 1]
    assert below.strip("│ ") == "[default: the same network trained on the original labels]"


def test_a_terminal_without_unicode_gets_plain_boxes():
    code = "from tinyrefinery.cli.main import app; app(['recipe', '--help'])"
    text = in_a_new_process(code, PYTHONIOENCODING="ascii", COLUMNS="80")
    assert "+- Commands ---" in text


def test_the_list_of_commands_imports_no_command_and_nothing_heavy():
    code = (
        "import sys\n"
        "from tinyrefinery.cli.main import app\n"
        "try: app(['--help'], prog_name='tinyrefinery')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(*sorted(sys.modules))"
    )
    *shown, modules = in_a_new_process(code, COLUMNS="80").splitlines()
    names = {each.split()[1] for each in shown if each.startswith("│ ")}
    assert names >= {*LISTED}
    loaded = set(modules.split())
    assert not loaded & {"torch", "numpy", "PIL", "pyarrow", "pydantic", "scipy", "rich.markdown"}
    ours = {each for each in loaded if each.startswith("tinyrefinery.cli.")}
    assert ours == {
        f"tinyrefinery.cli.{file}" for file in ("main", "catalog", "group", "help", "streams")
    }


def test_no_commands_help_imports_torch_or_matplotlib():
    code = (
        "import sys\n"
        "from tests.commands import every_command\n"
        "assert len(every_command()) > 20\n"
        "print(sorted({'torch', 'matplotlib', 'pydantic'} & set(sys.modules)))"
    )
    assert in_a_new_process(code).strip() == "['pydantic']"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["reprot"], "'reprot'. Did you mean 'report'?"),
        (["make"], "'make'. Did you mean 'label-store make'?"),
        (["train"], "'train'. Did you mean 'run'?"),
        (["recipe", "chekc"], "'chekc'. Did you mean 'check'?"),
        (["recipe", "train"], "'train'."),
    ],
)
def test_an_unknown_command_is_told_with_the_nearest(words, near):
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, words)
    assert result.exit_code == 2
    assert f"No such command {near} " in result.output


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("tinyrefinery re", "recipe report review refiner refiner-gains reproduce"),
        ("tinyrefinery label-store ex", "export"),
        ("tinyrefinery recipe check --d", "--deep"),
    ],
)
def test_a_shell_completes_commands_and_options(words, completed):
    found = in_a_new_process(
        "from tinyrefinery.cli.main import main; main()",
        _TINYREFINERY_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split()) - 1),
    )
    assert found.split() == completed.split()
