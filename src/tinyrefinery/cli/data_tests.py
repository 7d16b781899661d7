"""`tinyrefinery test`, `compare`, `history` and `init`: data tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.text import Text

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    DATA_TESTS,
    DataOverrides,
    Like,
    NetworkPath,
    Row,
    Seed,
    Stage,
    Tests,
    a_file,
    option,
    output_file,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.data_tests.reports import terminal, texts
from tinyrefinery.data_tests.reports.folding import Line, folded, lines
from tinyrefinery.data_tests.suggest import as_yaml, template_text, weak_slices
from tinyrefinery.data_tests.verdicts import Verdict, exit_code
from tinyrefinery.errors import RefineryError
from tinyrefinery.files import write_atomic

if TYPE_CHECKING:
    from tinyrefinery.data_tests.reports.page import Overlay
    from tinyrefinery.data_tests.session import Session
    from tinyrefinery.networks.network import Network

Html = Annotated[Path | None, output_file("HTML page to write.")]
Whole = Annotated[
    bool, typer.Option("--all", help="Show every class of a passed test on a line of its own.")
]
WIDE = 100
"""Columns of a terminal from which on there is room for bars."""


def judge(
    run: NetworkPath,
    tests: Annotated[Path, typer.Argument(help="Data-test file.")] = DATA_TESTS,
    overrides: DataOverrides = None,
    baseline: Annotated[
        Path | None, option("RUN", "Run, network, ONNX or LiteRT file to compare with.")
    ] = None,
    baseline_stage: Annotated[
        str | None, option("STAGE", "Stage of the baseline, or of RUN, to compare with.")
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    like: Like = None,
    junit: Annotated[Path | None, output_file("JUnit XML file to write.")] = None,
    html: Html = None,
    json: Annotated[Path | None, output_file("JSON file to write.")] = None,
    history: Annotated[
        list[Path] | None,
        option("RUN", "Earlier run for the page's history lines. Repeatable, oldest first."),
    ] = None,
    saliency: Annotated[
        bool, typer.Option("--saliency/--no-saliency", help="Show saliency maps on the HTML page.")
    ] = True,
    release: Annotated[
        bool, typer.Option("--release", help="Count UNPROVEN and TOO FEW as failures.")
    ] = False,
    whole: Whole = False,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Only print weak slices, as YAML for data tests.")
    ] = False,
) -> None:
    """Run data tests on a model. Exits with 1 if a test fails.

    A data test measures the model on a named slice of the data, e.g. night images.
    """
    log_progress()
    from tinyrefinery.data_tests.session import kept_results, run_tests
    from tinyrefinery.networks.network_data import check_kept
    from tinyrefinery.networks.opening import open_network

    (tests,), changes = _without_overrides([tests, *map(Path, overrides or ())], DATA_TESTS)
    network = open_network(run, stage=stage, seed=seed, row=row, like=like)
    check_kept(kept_results(network, tests), network)
    against = None
    if baseline is not None:
        against = open_network(baseline, stage=baseline_stage, like=like)
    elif baseline_stage is not None:
        against = open_network(run, stage=baseline_stage, seed=seed, row=row, like=like)
    session = run_tests(tests, network, against, like=like, overrides=changes)
    if suggest:
        streams.echo(_suggestions(session), nl=False)
        return
    _print(session, whole=whole)
    earlier = [open_network(path, like=like) for path in history or []]
    _write(session, junit, html, json, earlier, release=release, saliency=saliency)
    if code := exit_code(session.results, release=release):
        raise typer.Exit(code)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Runs, network, ONNX or LiteRT files, then other data: data.source.root=new/."
        ),
    ],
    tests: Tests = DATA_TESTS,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    like: Like = None,
    html: Html = None,
    whole: Whole = False,
) -> None:
    """Run the same data tests on several models side by side.

    All models predict on the data of the first.
    """
    log_progress()
    from tinyrefinery.data_tests.session import run_tests
    from tinyrefinery.networks.opening import named_apart, open_network

    paths, changes = _without_overrides(runs)
    networks = named_apart(
        [open_network(path, stage=stage, seed=seed, row=row, like=like) for path in paths]
    )
    first = networks[0]
    sessions = [
        run_tests(tests, each, first, together=networks, overrides=changes) for each in networks
    ]
    names, judged = [each.name for each in networks], [each.results for each in sessions]
    from tinyrefinery.data_tests.reports import comparison_page

    shown, headline = (lines if whole else folded)(judged), comparison_page.headline(judged)
    streams.console().print(terminal.comparison_table(names, shown))
    streams.echo(f"{headline}{_how_to_unfold(shown)}")
    if html is not None:
        write_atomic(html, comparison_page.render(sessions[0].facts, names, shown, headline))
        streams.echo(f"Page: {html}")


def history(
    test: Annotated[str, typer.Argument(help="Name of a data test.")],
    runs: Annotated[list[Path], typer.Argument(help="Tested runs, oldest first.")],
    tests: Tests = DATA_TESTS,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    like: Like = None,
) -> None:
    """Show one data test's results across runs."""
    from tinyrefinery.data_tests.session import past_values
    from tinyrefinery.networks.opening import named_apart, open_network

    networks = named_apart(
        [open_network(path, stage=stage, seed=seed, row=row, like=like) for path in runs]
    )
    values = past_values(test, networks, tests)
    streams.console().print(terminal.history_table(values))


def init(
    out: Annotated[Path, typer.Argument(help="File to write.", callback=a_file)] = DATA_TESTS,
    template: Annotated[str, option("NAME", "Template: person or generic.")] = "generic",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Create a starter data-test file."""
    text = template_text(template)
    if out.exists() and not force:
        raise RefineryError(f"{out}: is there already; name another file, or give --force")
    write_atomic(out, text)
    streams.echo(f"{out}: put in your classes and columns, then: tinyrefinery test RUN {out}")


def _without_overrides(
    words: Sequence[Path], default: Path | None = None
) -> tuple[list[Path], list[str]]:
    """The paths among words, or the default where there is none, and `data.source.NAME=VALUE`."""
    from tinyrefinery.networks.source_overrides import OVERRIDE

    changes = [str(word) for word in words if str(word).startswith(OVERRIDE)]
    paths = [word for word in words if str(word) not in changes]
    if len(paths) > 1 and default is not None:
        raise RefineryError(
            f"'{paths[1]}': expected {OVERRIDE}NAME=VALUE, e.g. {OVERRIDE}root=new/"
        )
    if not paths and default is None:
        raise RefineryError("no network is named. Give run folders before the overrides")
    return paths or [default or DATA_TESTS], changes


def _print(session: "Session", *, whole: bool) -> None:
    console = streams.console()
    against = f" against {session.baseline.name}" if session.baseline else ""
    streams.print_lines(console, f"{session.network.name}{against}")
    console.print()
    baseline = session.baseline.name if session.baseline else None
    confidence = session.suite.defaults.confidence
    bars = console.width >= WIDE
    shown = (lines if whole else folded)([session.results])
    console.print(terminal.results_table(shown, baseline, confidence, bars=bars))
    reasons = terminal.reasons(shown)
    counts = f"{texts.summary(session.results)}{_how_to_unfold(shown)}"
    for line in ["", *reasons, *([""] if reasons else []), escape(counts)]:
        streams.print_lines(console, Text.from_markup(line, emoji=False))


def _how_to_unfold(shown: Sequence[Line]) -> str:
    """How to see the classes that a line stands for, where one does."""
    folds = any(each.folded > 1 for each in shown)
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
        streams.echo(f"Page: {html}{_first_failing(session)}")


def _overlay(session: "Session") -> "Overlay":
    from tinyrefinery.saliency.explainer import page_overlay

    return page_overlay(session)


def _first_failing(session: "Session") -> str:
    """Where on the page the first failed test stands; nothing when none failed."""
    from tinyrefinery.data_tests.reports.page import anchor

    failed = (each.name for each in session.results if each.verdict is Verdict.FAIL)
    return next((f"#{anchor(name)}" for name in failed), "")


def _suggestions(session: "Session") -> str:
    """Weak slices as YAML, with a remark on what they are worth."""
    from tinyrefinery.data_tests.session import wrong_images

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
