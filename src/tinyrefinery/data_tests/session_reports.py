"""Writing the reports of a test session to files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinyrefinery.data_tests.reports import records
from tinyrefinery.data_tests.session import Session, kept_results
from tinyrefinery.data_tests.verdicts import Result
from tinyrefinery.errors import RefineryError
from tinyrefinery.files import write_atomic
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.stored_predictions import pictures

if TYPE_CHECKING:  # the page is slow to import and not always written
    from tinyrefinery.data_tests.reports.page import Overlay, PixelsOf


def write_junit(session: Session, path: Path, *, release: bool) -> None:
    """Write JUnit XML."""
    from tinyrefinery.data_tests.reports.junit import junit

    text = junit(session.facts, session.results, session.paths, release=release)
    write_atomic(path, text)


def write_json(session: Session, path: Path, *, release: bool) -> None:
    """Write the record that is also kept for `history`."""
    records.keep(path, session.record(release=release))


def write_html(
    session: Session,
    path: Path,
    *,
    earlier: Sequence[Network] = (),
    overlay: "Overlay | None" = None,
) -> None:
    """Write the HTML page.

    Args:
        session: the judged tests.
        path: the HTML file.
        earlier: networks whose earlier results are drawn as history lines, the oldest first.
        overlay: makes the overlay of a picture, e.g. saliency.
    """
    from tinyrefinery.data_tests.reports import page

    text = page.render(
        session.facts,
        session.results,
        session.rows,
        lambda result: _probabilities(session, result),
        _pixels(session) if any(result.worst for result in session.results) else None,
        overlay=overlay,
        history=_history(session, earlier),
        confidence=session.suite.defaults.confidence,
    )
    write_atomic(path, text)


def _pixels(session: Session) -> "PixelsOf":
    """Pixels of the session's images, changed where a test changes them."""
    show = pictures(session.network, session.data)
    return lambda result, row: show(row, session.test(result).perturb)


def _probabilities(session: Session, result: Result) -> np.ndarray:
    """Probabilities (N, K) that a test was judged on."""
    change, answers = session.test(result).perturb, session.answers
    return answers.probabilities if change is None else answers.perturbed[change.named()]


def _history(
    session: Session, earlier: Sequence[Network]
) -> Mapping[str, Sequence[tuple[str, float]]]:
    """Names and values of earlier networks, by test."""
    values: dict[str, list[tuple[str, float]]] = {}
    for network in earlier:
        path = kept_results(network, session.path)
        if not path.exists():
            raise RefineryError(
                f"{network.name}: has no results of {session.path.name}: run `tinyrefinery test` "
                "on it first"
            )
        for result in records.read(path)["results"]:
            measured = result["own"] or result["measured"]
            if measured:
                values.setdefault(result["name"], []).append((network.name, measured["value"]))
    return values
