"""Tests check the shapes of tensors where signatures name them."""

import sys
from importlib import import_module

import pytest
import torch
from jaxtyping import TypeCheckError

from tests.shapes import CHECKED
from tinyrefinery.data.resizing import resize_weights
from tinyrefinery.labels.refiner import renormalize
from tinyrefinery.labels.store.encodings import choose
from tinyrefinery.losses.bias import weights
from tinyrefinery.training.jitter import divergences

STATISTICS = ((0.5,), (0.2,))
ONE, TWO = torch.ones(1), torch.ones(2)
WRONG = {
    "one label for two outputs": lambda: divergences(
        torch.ones(1, 3), torch.ones(2, 3), "label_to_output"
    ),
    "a weight per pixel": lambda: weights(torch.ones(2, 2), alpha=0.3, beta=0.3, formula="paper"),
    "images without channels": lambda: renormalize(torch.ones(2, 4, 4), STATISTICS, STATISTICS),
    "labels of other classes": lambda: choose("float32", 3).encode(torch.ones(2, 4)),
    "a bound for one of two crops": lambda: resize_weights(TWO, TWO, 4, 4, ONE, TWO),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_shape_is_refused(call) -> None:
    with pytest.raises(TypeCheckError):
        call()


def test_what_is_checked_is_there() -> None:
    for name in CHECKED:
        import_module(name)
        assert "jaxtyping" in repr(vars(sys.modules[name]).get("__loader__"))
