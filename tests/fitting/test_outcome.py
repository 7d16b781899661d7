"""The result of a search in words."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinyrefinery.fitting.fit_outcome import drop_line, guessing


class _Predictions:
    def __init__(self, right: int, n: int) -> None:
        self.correct = np.arange(n) < right

    def __len__(self) -> int:
        return len(self.correct)


def fitted_with(right: int, n: int, drop: tuple[float, float, float]) -> Any:
    """A result with three classes, as far as the texts read it."""
    points, low, high = drop
    parity = SimpleNamespace(
        images="15 images", drop=SimpleNamespace(points=points, low=low, high=high)
    )
    shipped = SimpleNamespace(
        predictions=_Predictions(right, n), exported=SimpleNamespace(parity=parity), is_packed=False
    )
    return SimpleNamespace(shipped=shipped, look=SimpleNamespace(classes=dict.fromkeys("abc", 30)))


@pytest.mark.parametrize("points", [0.0, 0.001])
def test_no_change_has_no_minus(points):
    line = drop_line(fitted_with(6, 24, (points, -13.49, 13.49)))
    assert line == (
        "int8 changes the accuracy by +0.00 points on 15 images (95 % interval -13.49 to +13.49)"
    )


def test_a_network_that_guesses_is_reported_with_what_to_type():
    (line,) = guessing(fitted_with(6, 24, (0.0, 0.0, 0.0)))
    assert "better than guessing among 3 classes (33.3 %)" in line
    assert "--hours" in line


def test_a_network_that_learned_is_not_reported():
    assert guessing(fitted_with(22, 24, (0.0, 0.0, 0.0))) == []
