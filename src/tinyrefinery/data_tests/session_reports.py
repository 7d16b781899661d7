"""Reports of judged tests, as files."""

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
from tinyrefinery.networks.predictions import pictures

if TYPE_CHECKING:  # the page takes long to import, and is not always written
    from tinyrefinery.data_tests.reports.page import Look, Overlay


def write_junit(session: Session, path: Path, *, release: bool) -> None:
    """Write JUnit XML."""
    from tinyrefinery.data_tests.reports.junit import junit

    text = junit(session.facts, session.results, session.paths, release=release)
    write_atomic(path, text)


def write_json(session: Session, path: Path, *, release: bool) -> None:
    """Write what is also kept for `history`."""
    records.keep(path, session.record(release=release))


def write_html(
    session: Session,
    path: Path,
    *,
    earlier: Sequence[Network] = (),
    overlay: "Overlay | None" = None,
) -> None:
    """Write the page.

    Args:
        session: what was judged.
        path: the HTML file.
        earlier: networks whose kept values make the history lines, the oldest first.
        overlay: what to lay over a picture, e.g. saliency.
    """
    from tinyrefinery.data_tests.reports import page

    text = page.render(
        session.facts,
        session.results,
        session.rows,
        lambda result: _said(session, result),
        _look(session) if any(result.worst for result in session.results) else None,
        overlay=overlay,
        history=_history(session, earlier),
        confidence=session.suite.defaults.confidence,
    )
    write_atomic(path, text)


def _look(session: Session) -> "Look":
    """Pixels of the session's images, changed where a test changes them."""
    show = pictures(session.network, session.data)
    return lambda result, row: show(row, session.test(result).perturb)


def _said(session: Session, result: Result) -> np.ndarray:
    """Probabilities (N, K) that a test was judged on."""
    how = session.test(result).perturb
    return session.answers.probabilities if how is None else session.answers.perturbed[how.named()]


def _history(
    session: Session, earlier: Sequence[Network]
) -> Mapping[str, Sequence[tuple[str, float]]]:
    """Kept values of earlier networks, by test."""
    values: dict[str, list[tuple[str, float]]] = {}
    for network in earlier:
        path = kept_results(network, session.path)
        if not path.exists():
            raise RefineryError(
                f"{network.name}: has no results of {session.path.name}; run `tinyrefinery test` "
                "on it first"
            )
        for each in records.read(path)["results"]:
            measured = each["own"] or each["measured"]
            if measured:
                values.setdefault(each["name"], []).append((network.name, measured["value"]))
    return values
