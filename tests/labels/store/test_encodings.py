"""Stored labels as bytes: what is lost, against NumPy in float64."""

import numpy as np
import pytest
import torch

from tinyrefinery.errors import RecipeError
from tinyrefinery.labels.store.encodings import Form, choose
from tinyrefinery.losses.targets import SparseTargets


def labels(classes, n=400, seed=0):
    """Distributions from nearly hard to nearly even, float32 (n, K)."""
    rng = np.random.default_rng(seed)
    sharpness = np.exp(rng.uniform(np.log(0.3), np.log(12), (n, 1)))
    logits = rng.normal(size=(n, classes)) * sharpness
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return torch.from_numpy((odds / odds.sum(1, keepdims=True)).astype(np.float32))


def round_trip(form, given):
    records = form.encode(given)
    assert records.dtype == torch.uint8
    assert records.shape == (len(given), form.bytes)
    return form.decode(records)


def kl(t, p):
    t, p = t.double().numpy(), p.double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(t > 0, t * (np.log(t) - np.log(np.maximum(p, 1e-12))), 0)
    return terms.sum(1)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_float32_is_exact(classes):
    given = labels(classes)
    assert torch.equal(round_trip(choose("float32", classes), given), given)


@pytest.mark.parametrize("classes", [10, 100, 1000])
def test_float16_is_numpys_half_precision(classes):
    given = labels(classes)
    half = given.numpy().astype(np.float16).astype(np.float64)
    expected = half / half.sum(1, keepdims=True)
    np.testing.assert_allclose(round_trip(choose("float16", classes), given), expected, rtol=1e-6)


def test_eight_bits_of_the_root_follow_the_formula():
    given = labels(10)
    root = np.rint(np.sqrt(given.double().numpy()) * 255) / 255
    expected = root**2 / (root**2).sum(1, keepdims=True)
    found = round_trip(choose("compact", 10), given)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    assert np.abs(found.numpy() - expected).max() < 0.005  # a root on the edge of two steps
    assert np.median(np.abs(found.numpy() - expected)) < 1e-7
    assert kl(given, found).mean() < 5e-4


@pytest.mark.parametrize(("classes", "top"), [(100, 10), (300, 5), (1000, 10), (40_000, 3)])
def test_the_top_classes_keep_their_probabilities_and_the_rest_its_mass(classes, top):
    given = labels(classes, n=100)
    found = round_trip(choose("compact", classes, top), given)
    assert isinstance(found, SparseTargets)
    order = np.argsort(-given.numpy(), axis=1, kind="stable")[:, :top]
    exact = np.take_along_axis(given.double().numpy(), order, 1)
    kept = given.numpy()[np.arange(100)[:, None], found.index.numpy()]
    np.testing.assert_allclose(kept, exact, rtol=1e-6)  # the same classes, but for ties
    # A step of the root is 1/255; the first class takes up all others' rounding.
    np.testing.assert_allclose(found.probability[:, 1:], exact[:, 1:], atol=1 / 255 * 1.0)
    np.testing.assert_allclose(found.probability[:, 0], exact[:, 0], atol=0.5 / 255 * top + 1e-6)
    mass = found.rest.double() * (classes - top)
    np.testing.assert_allclose(mass, 1 - exact.sum(1), atol=1 / 255 + 1e-6)


@pytest.mark.parametrize(
    ("name", "classes", "top", "expected"),
    [
        ("auto", 10, None, Form("float32", 10)),
        ("auto", 100, None, Form("float16", 100)),
        ("auto", 1000, None, Form("top", 1000, 10)),
        ("compact", 10, None, Form("sqrt8", 10)),
        ("compact", 100, None, Form("top", 100, 10)),
        ("auto", 10, 3, Form("top", 10, 3)),
    ],
)
def test_names_stand_for_forms(name, classes, top, expected):
    assert choose(name, classes, top) == expected


def test_the_compact_form_is_small():
    assert [choose("compact", classes).bytes for classes in (10, 100, 1000)] == [10, 20, 30]


def test_more_classes_than_two_bytes_name_are_refused():
    with pytest.raises(RecipeError, match="form: float16"):
        choose("auto", 70_000)
    assert choose("float16", 70_000).bytes == 140_000


def test_hard_labels_survive_every_form():
    hard = torch.eye(50)
    for form in (choose("float16", 50), Form("sqrt8", 50), choose("compact", 50, 3)):
        found = round_trip(form, hard)
        dense = found.dense() if isinstance(found, SparseTargets) else found
        assert torch.equal(dense, hard), form


@pytest.mark.parametrize(("name", "top"), [("float32", 3), ("auto", 10), ("compact", 0)])
def test_a_top_that_does_not_fit_is_named(name, top):
    with pytest.raises(RecipeError, match=rf"store\.top: {top} "):
        choose(name, 10, top)
