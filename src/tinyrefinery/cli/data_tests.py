"""`tinyrefinery test`, `compare`, `history` and `init`: data unit tests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import Like, Seed, Stage, a_file
from tinyrefinery.errors import CheckpointError, ChoiceError, DataError, RefineryError
from tinyrefinery.files import check_writable

if TYPE_CHECKING:
    from tinyrefinery.data_tests.reports.folding import Line
    from tinyrefinery.data_tests.reports.page import Overlay
    from tinyrefinery.data_tests.session import Session
    from tinyrefinery.networks.find import Network

UNREADABLE = 3
"""Exit code when data or network can't be read; 2 is for a wrong file of tests."""

Tests = Annotated[Path, typer.Argument(help="The file of data tests.")]
TestsOption = Annotated[Path, typer.Option("--tests", help="The file of data tests.")]
Saliency = Annotated[
    bool,
    typer.Option("--saliency/--no-saliency", help="On the page, show what the network looked at."),
]
Whole = Annotated[
    bool, typer.Option("--all", help="Also each class of a test that passes, a line each.")
]
DEFAULT = Path("data_tests.yaml")
WIDE = 100
"""Columns of a terminal from which on there is room for bars."""


def judge(
    run: Annotated[
        Path, typer.Argument(help="A run folder, a stage's folder, a network or ONNX file.")
    ],
    tests: Tests = DEFAULT,
    baseline: Annotated[
        Path | None, typer.Option(help="Run, network or ONNX file to compare with.")
    ] = None,
    baseline_stage: Annotated[
        str | None, typer.Option(help="Stage to compare with, of the baseline or of RUN itself.")
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    like: Like = None,
    junit: Annotated[
        Path | None, typer.Option(help="JUnit XML file to write.", callback=a_file)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="HTML page to write.", callback=a_file)] = None,
    json: Annotated[Path | None, typer.Option(help="JSON file to write.", callback=a_file)] = None,
    history: Annotated[
        list[Path] | None,
        typer.Option(help="Earlier run, for the page's history lines; the oldest first."),
    ] = None,
    saliency: Saliency = True,
    release: Annotated[
        bool, typer.Option("--release", help="UNPROVEN and TOO FEW count as failures.")
    ] = False,
    whole: Whole = False,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Print weak slices as tests to paste, and stop.")
    ] = False,
) -> None:
    """Judge a network by named slices of data; exit code 1 when a test fails."""
    from tinyrefinery.cli.outcome import log_progress

    log_progress()
    with _readable():
        from tinyrefinery.data_tests.session import kept_results, run_tests
        from tinyrefinery.networks.find import find_network

        network = find_network(run, stage, seed, like)
        check_writable(files=[kept_results(network, tests)])
        against = None
        if baseline is not None or baseline_stage is not None:
            own = None if baseline else seed
            against = find_network(baseline or run, baseline_stage, own, like)
        session = run_tests(tests, network, against, like=like)
        if suggest:
            typer.echo(_suggestions(session), nl=False)
            return
        _print(session, whole=whole)
        earlier = [find_network(path, like=like) for path in history or []]
        _write(session, junit, html, json, earlier, release=release, saliency=saliency)
    from tinyrefinery.data_tests.verdicts import exit_code

    if code := exit_code(session.results, release=release):
        raise typer.Exit(code)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, network or ONNX files.")],
    tests: TestsOption = DEFAULT,
    stage: Stage = None,
    seed: Seed = None,
    like: Like = None,
    html: Annotated[Path | None, typer.Option(help="HTML page to write.", callback=a_file)] = None,
    whole: Whole = False,
) -> None:
    """Judge several networks by the same tests on the data of the first, side by side."""
    from rich.console import Console

    from tinyrefinery.cli.outcome import log_progress

    log_progress()
    with _readable():
        from tinyrefinery.data_tests.session import run_tests
        from tinyrefinery.networks.find import find_network

        networks = [find_network(path, stage, seed, like) for path in runs]
        first = networks[0]
        sessions = [run_tests(tests, each, first, data_of=first) for each in networks]
    names, judged = [each.name for each in networks], [each.results for each in sessions]
    from tinyrefinery.data_tests.reports import comparison_page
    from tinyrefinery.data_tests.reports.folding import folded, lines
    from tinyrefinery.data_tests.reports.terminal import comparison_table

    shown, headline = (lines if whole else folded)(judged), comparison_page.headline(judged)
    Console(emoji=False).print(comparison_table(names, shown))
    typer.echo(f"{headline}{_how_to_unfold(shown)}")
    if html is not None:
        from tinyrefinery.files import write_atomic

        write_atomic(html, comparison_page.render(sessions[0].facts, names, shown, headline))
        typer.echo(f"Page: {html}")


def history(
    test: Annotated[str, typer.Argument(help="Name of a test.")],
    runs: Annotated[list[Path], typer.Argument(help="Runs that were tested, the oldest first.")],
    tests: TestsOption = DEFAULT,
    stage: Stage = None,
    seed: Seed = None,
    like: Like = None,
) -> None:
    """Print what `tinyrefinery test` found for one test in several runs."""
    from rich.console import Console

    with _readable():
        from tinyrefinery.data_tests.reports.terminal import history_table
        from tinyrefinery.data_tests.session import past_values
        from tinyrefinery.networks.find import find_network

        networks = [find_network(path, stage, seed, like) for path in runs]
        values = past_values(test, networks, tests)
    Console(emoji=False).print(history_table(values))


def init(
    out: Annotated[Path, typer.Argument(help="The file to write.", callback=a_file)] = DEFAULT,
    template: Annotated[str, typer.Option(help="person or generic.")] = "generic",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a file of data tests to start from."""
    from tinyrefinery.data_tests.suggest import template_text
    from tinyrefinery.files import write_atomic

    text = template_text(template)
    if out.exists() and not force:
        raise RefineryError(f"{out}: is there already; name another file, or give --force")
    write_atomic(out, text)
    typer.echo(f"{out}: put in your classes and columns, then: tinyrefinery test RUN {out}")


@contextmanager
def _readable() -> Iterator[None]:
    """Give errors of data and networks an exit code of their own; a wrong option keeps its own."""
    try:
        yield
    except ChoiceError:
        raise
    except (DataError, CheckpointError) as error:
        error.exit_code = UNREADABLE
        raise


def _print(session: "Session", *, whole: bool) -> None:
    from rich.console import Console
    from rich.markup import escape

    from tinyrefinery.data_tests.reports import terminal, texts
    from tinyrefinery.data_tests.reports.folding import folded, lines

    console = Console(emoji=False)  # a path may have :x: in it
    against = f" against {session.baseline.name}" if session.baseline else ""
    console.print(escape(f"{session.network.name}{against}"), soft_wrap=True)
    console.print()
    baseline = session.baseline.name if session.baseline else None
    confidence = session.suite.defaults.confidence
    bars = console.width >= WIDE
    shown = (lines if whole else folded)([session.results])
    console.print(terminal.results_table(shown, baseline, confidence, bars=bars))
    reasons = terminal.reasons(shown)
    counts = f"{texts.summary(session.results)}{_how_to_unfold(shown)}"
    for line in ["", *reasons, *([""] if reasons else []), escape(counts)]:
        console.print(line, soft_wrap=True, highlight=False)


def _how_to_unfold(shown: "Sequence[Line]") -> str:
    """How to see the classes that a line stands for, where one does."""
    folds = any(each.stands_for > 1 for each in shown)
    return "; each class that passes has a line with --all" if folds else ""


def _write(
    session: "Session",
    junit: Path | None,
    html: Path | None,
    json: Path | None,
    earlier: "Sequence[Network]",
    *,
    release: bool,
    saliency: bool,
) -> None:
    """Write the reports that are asked for, and keep the results for `history`."""
    from tinyrefinery.data_tests import session_reports as reports

    reports.write_json(session, session.kept, release=release)
    if junit is not None:
        reports.write_junit(session, junit, release=release)
    if json is not None:
        reports.write_json(session, json, release=release)
    if html is not None:
        overlay = _overlay(session) if saliency else None
        reports.write_html(session, html, earlier=earlier, overlay=overlay)
        typer.echo(f"Page: {html}{_first_failing(session)}")


def _overlay(session: "Session") -> "Overlay":
    from tinyrefinery.saliency.look import page_overlay

    return page_overlay(session)


def _first_failing(session: "Session") -> str:
    """Where on the page the first failed test stands; nothing when none failed."""
    from tinyrefinery.data_tests.reports.page import anchor
    from tinyrefinery.data_tests.verdicts import Verdict

    failed = (each.name for each in session.results if each.verdict is Verdict.FAIL)
    return next((f"#{anchor(name)}" for name in failed), "")


def _suggestions(session: "Session") -> str:
    """Weak slices as YAML, with a remark on what they are worth."""
    from tinyrefinery.data_tests.session import wrong_images
    from tinyrefinery.data_tests.suggest import as_yaml, weak_slices

    least = session.suite.defaults.min_n
    split = session.suite.defaults.split
    found = weak_slices(session.rows, *wrong_images(session), least=least)
    if not found:
        return f"# no slice of {least} images or more of split '{split}' is shown to be weaker\n"
    remark = (
        f"# Found by search in split '{split}': hypotheses. Name them by what they show, and\n"
        "# confirm them on new images before you trust a number.\n"
    )
    return remark + as_yaml(found)
