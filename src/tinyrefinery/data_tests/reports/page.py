"""Results as one self-contained HTML file with bars, history and the worst errors."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.data_tests.reports import texts
from tinyrefinery.data_tests.reports.records import Facts, counts
from tinyrefinery.data_tests.rows import Rows
from tinyrefinery.data_tests.verdicts import Measured, Result
from tinyrefinery.pages.inline import thumbnail
from tinyrefinery.pages.templating import template

MOST_PICTURES = 500
MOST_PER_TEST = 24
HERE = Path(__file__).parent / "templates"

PixelsOf = Callable[[Result, int], tuple[np.ndarray, np.ndarray]]
"""Result and row -> pixels of the source and of the network's input, uint8 (H, W, C)."""
ProbabilitiesOf = Callable[[Result], np.ndarray]
"""Result -> the probabilities (N, K) it was judged on."""
Overlay = Callable[[Result, int], np.ndarray | None]
"""Result and row -> overlay for the network's input, such as saliency, uint8 RGBA (H, W, 4)."""
History = Mapping[str, Sequence[tuple[str, float]]]
"""Test -> names of networks and their values, the oldest first."""


@dataclass(frozen=True)
class Bar:
    """One horizontal bar. All numbers are in percent of its width."""

    title: str
    kind: str
    """own or baseline."""
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Picture:
    """One error."""

    source: str
    seen: str
    overlay: str | None
    small: bool
    path: str
    label: str
    predicted: str
    probability: float


def render(
    facts: Facts,
    results: Sequence[Result],
    rows: Rows,
    probabilities_of: ProbabilitiesOf,
    pixels_of: PixelsOf | None = None,
    *,
    overlay: Overlay | None = None,
    history: History | None = None,
    confidence: float = 0.95,
) -> str:
    """Render the page as HTML.

    Args:
        facts: facts of the results.
        results: results of the tests.
        rows: the data.
        probabilities_of: gets the probabilities that a test was judged on.
        pixels_of: gets the pixels of an image; None for a page without pictures.
        overlay: makes the overlay that a picture shows under the pointer, or
            when the page's box for it is checked.
        history: values of earlier networks.
        confidence: confidence of the intervals.
    """
    with_pictures = sum(bool(result.worst) for result in results) or 1
    most = max(1, min(MOST_PER_TEST, MOST_PICTURES // with_pictures))
    tests = []
    for result in results:
        pictures = []
        if pixels_of is not None:
            probabilities = probabilities_of(result)
            pictures = [
                _picture(result, row, rows, probabilities[row], pixels_of, overlay)
                for row in result.worst[:most]
            ]
        tests.append(_test(result, pictures, (history or {}).get(result.name, ())))
    return template("data_tests.html.j2", HERE).render(
        facts=facts,
        headline=texts.summary(results),
        counts=counts(results),
        tests=tests,
        confidence=f"{confidence:.0%}",
        has_overlays=any(picture.overlay for test in tests for picture in test["pictures"]),
    )


def _test(
    result: Result, pictures: Sequence[Picture], past: Sequence[tuple[str, float]]
) -> dict[str, Any]:
    """The template's values for a test."""
    return {
        "name": result.name,
        "anchor": anchor(result.name),
        "title": result.title,
        "verdict": texts.word(result),
        "kind": result.verdict.value.lower().replace(" ", "-"),
        "metric": result.metric,
        "slice": result.slice,
        "n": f"{result.measured.n:,}" if result.measured and not texts.is_cost(result) else "",
        "value": texts.value(result.measured, result),
        "interval": texts.interval(result),
        "need": result.need,
        "reason": texts.reason(result),
        "bars": [] if texts.is_count(result) else _bars(result),
        "bound": _bound(result),
        "bad": result.bad,
        "pictures": pictures,
        "history": _line(past, result),
    }


def anchor(name: str) -> str:
    """The fragment of a test's address on the page, after `out.html#`."""
    return re.sub(r"\s+", "-", name)


def _bars(result: Result) -> list[Bar]:
    """Bars of a gap's slices, or of the baseline and the network."""
    if result.parts:
        return [_bar(part.name, "own", part.measured) for part in result.parts]
    bars = []
    if result.baseline is not None:
        bars.append(_bar("baseline", "baseline", result.baseline))
    if result.shown is not None:
        bars.append(_bar("network", "own", result.shown))
    return bars


def _bar(title: str, kind: str, measured: Measured) -> Bar:
    value, low, high = (100 * share for share in (measured.value, measured.low, measured.high))
    return Bar(title, kind, value, low, high, f"{measured.value:.3f}")


def _bound(result: Result) -> float | None:
    """Position of the bound on the bars in percent, or None if it is not a share."""
    if result.bound is None or texts.is_difference(result) or texts.is_count(result):
        return None
    return 100 * result.bound


def _line(past: Sequence[tuple[str, float]], result: Result) -> dict[str, Any] | None:
    """Points of the history line in a box of 100 by 30, the network itself last."""
    values = [*past]
    if result.shown is not None:
        values.append(("this network", result.shown.value))
    if len(values) < 2:
        return None
    top = max(1.0, *(value for _, value in values)) if texts.is_count(result) else 1.0
    step = 96 / (len(values) - 1)
    points = [(2 + i * step, 28 - 26 * value / top) for i, (_, value) in enumerate(values)]
    return {
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        "dots": points,
        "text": " → ".join(f"{name} {value:.3g}" for name, value in values),
        "bound": None if _bound(result) is None else 28 - 26 * (result.bound or 0) / top,
    }


def _picture(
    result: Result,
    row: int,
    rows: Rows,
    probabilities: np.ndarray,
    pixels_of: PixelsOf,
    overlay: Overlay | None,
) -> Picture:
    """An image with its prediction, from probabilities (K,)."""
    source, seen = pixels_of(result, row)
    over = overlay(result, row) if overlay is not None else None
    predicted = int(probabilities.argmax())
    return Picture(
        source=thumbnail(source),
        seen=thumbnail(seen),
        overlay=None if over is None else thumbnail(over),
        small=max(source.shape[:2]) <= 96,
        path=str(rows.columns.column("path")[row].as_py()),
        label=rows.classes[int(rows.labels[row])],
        predicted=rows.classes[predicted],
        probability=float(probabilities[predicted]),
    )
