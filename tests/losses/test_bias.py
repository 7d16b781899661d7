"""Bias Loss: numbers by hand, its readings of the paper, its state, and what can't be scaled."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.losses.feature_maps import bias_weights
from tests.losses.named import create
from tinyrefinery.losses.bias import variances

# Maps of 1 x 1 x 3 numbers: variances 1, 4 and 0 (unbiased), activations from 0 to 4.
BY_HAND = torch.tensor([[0.0, 1.0, 2.0], [0.0, 2.0, 4.0], [1.0, 1.0, 1.0]]).view(3, 1, 1, 3)
EXP = np.exp


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # equation 3 as printed: (1 - 0) / 4, (4 - 0) / 4, (0 - 0) / 4
        ({}, [EXP(0.075) - 0.3, EXP(0.3) - 0.3, 0.7]),
        # by the variances 0 to 4: 1/4, 1, 0, here the same
        ({"scaling": "variances"}, [EXP(0.075) - 0.3, EXP(0.3) - 0.3, 0.7]),
        ({"scaling": "running_minimum"}, [EXP(0.075) - 0.3, EXP(0.3) - 0.3, 0.7]),
        (
            {"scaling": "variances", "formula": "checkpoints", "clamp": None},
            [EXP(0.075) - 0.7, EXP(0.3) - 0.7, 0.3],
        ),
        ({"scaling": "variances", "formula": "checkpoints"}, [0.5, EXP(0.3) - 0.7, 0.5]),
        ({"scaling": "variances", "clamp": (0.8, 1.0)}, [0.8, 1.0, 0.8]),
        ({"alpha": 2.0, "beta": 0.5}, [EXP(0.5) - 0.5, 1.5, 0.5]),
        ({"alpha": 2.0, "beta": 0.5, "clamp": None}, [EXP(0.5) - 0.5, EXP(2) - 0.5, 0.5]),
    ],
    ids=str,
)
def test_weights_by_hand(options: dict, expected: list[float]) -> None:
    for scale in ([], [True]):
        given = options | ({"mean_normalized": True} if scale else {})
        wanted = np.array(expected) / (np.mean(expected) if scale else 1)
        got = create("bias", **given).weights(BY_HAND.double())
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-12)


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, np.log(3)]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    z = np.array([EXP(0.075) - 0.3, EXP(0.3) - 0.3, 0.7])
    expected = (z * np.log([2, 2, 4])).sum() / 3
    assert create("bias")(logits, targets, BY_HAND).item() == pytest.approx(expected, rel=1e-6)


def test_printed_and_variance_scalings_differ() -> None:
    """Large activations leave the printed one with almost the same weight for all crops."""
    features = 10 * torch.rand(16, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    printed = create("bias", clamp=None).weights(features)
    batch = create("bias", scaling="variances").weights(features)
    np.testing.assert_allclose(printed.numpy(), bias_weights(features.numpy()), rtol=1e-5)
    assert (batch.max() - batch.min()).item() == pytest.approx(EXP(0.3) - 1, rel=1e-5)
    assert printed.max() - printed.min() < 0.25 * (batch.max() - batch.min())


def test_the_running_minimum_is_that_of_all_batches() -> None:
    loss = create("bias", scaling="running_minimum", clamp=None)
    random = np.random.default_rng(3)
    so_far = np.inf
    for scale in (3.0, 1.0, 2.0, 5.0):
        features = random.normal(size=(6, 2, 3, 3)) * scale
        got = loss.weights(torch.tensor(features)).numpy()
        np.testing.assert_allclose(
            got,
            bias_weights(features, scaling="running_minimum", clamp=None, so_far=so_far),
            rtol=1e-12,
        )
        so_far = min(so_far, features.reshape(6, -1).var(axis=1, ddof=1).min())
        assert loss.minimum.item() == pytest.approx(so_far, rel=1e-12)
    assert got.max() > EXP(0.3) - 0.3  # v exceeds 1


def test_its_state_goes_on() -> None:
    loss = create("bias", scaling="running_minimum")
    loss.weights(0.1 * torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    again = create("bias", scaling="running_minimum")
    again.load_state_dict(copy.deepcopy(loss.state_dict()))
    features = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.weights(features), loss.weights(features))
    fresh = create("bias", scaling="running_minimum")
    assert not torch.equal(fresh.weights(features), loss.weights(features))


def test_only_the_running_minimum_has_a_state() -> None:
    assert create("bias").state_dict() == {}
    assert set(create("bias", scaling="running_minimum").state_dict()) == {"minimum"}


@pytest.mark.parametrize("scaling", ["activations", "variances", "running_minimum"])
@pytest.mark.parametrize("clamp", [None, (0.5, 1.5)])
@pytest.mark.parametrize(
    "features",
    [
        torch.zeros(5, 2, 3, 3),  # dead
        torch.full((5, 2, 3, 3), 7.3),
        torch.arange(18.0).view(1, 2, 3, 3),  # a batch of one
        torch.rand(1, 2, 3, 3).repeat(5, 1, 1, 1),  # five times the same crop
        torch.rand(1, 2, 3, 3).flatten()[torch.stack([torch.randperm(18) for _ in range(5)])],
    ],
    ids=["zeros", "constants", "one", "same", "shuffled"],
)
def test_finite_where_nothing_can_be_scaled(
    scaling: str, clamp: tuple[float, float] | None, features: torch.Tensor
) -> None:
    loss = create("bias", scaling=scaling, clamp=clamp)
    for _ in range(2):
        z = loss.weights(features)
        assert z.isfinite().all()
        assert (z > 0).all()
        torch.testing.assert_close(z, z[:1].expand(len(z)))
        if scaling != "activations":
            torch.testing.assert_close(z, torch.full_like(z, 0.7))
    normalized = create("bias", scaling=scaling, clamp=clamp, mean_normalized=True).weights(
        features
    )
    torch.testing.assert_close(normalized, torch.ones(len(features)))


def test_no_gradient_flows_through_the_weights() -> None:
    features = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.eye(5, dtype=torch.float64)[[0, 3, 2, 2]]
    loss = create("bias", scaling="variances")
    loss(logits, targets, features).backward()
    assert features.grad is None
    z = loss.weights(features)
    with torch.no_grad():
        expected = z[:, None] * (logits.softmax(1) - targets) / 4
    torch.testing.assert_close(logits.grad, expected)


def test_alpha_and_beta_of_zero_are_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, generator=generator)
    labels = torch.tensor([0, 4, 2, 1])
    loss = create("bias", alpha=0, beta=0)
    got = loss(logits, F.one_hot(labels, 5), torch.randn(4, 2, 3, 3, generator=generator))
    torch.testing.assert_close(got, F.cross_entropy(logits, labels))


def test_equals_the_authors_formula() -> None:
    """Their code of 2022, written out for one batch: a running minimum of one batch is its own."""
    generator = torch.Generator().manual_seed(2)
    features = torch.rand(8, 4, 3, 3, generator=generator)
    logits, labels = torch.randn(8, 10, generator=generator), torch.arange(8)
    v = torch.var(features.flatten(1), dim=1)
    z = torch.exp((v - v.min()) / (v.max() - v.min()) * 0.3) - 0.3
    expected = (z * F.cross_entropy(logits, labels, reduction="none")).mean()
    loss = create("bias", scaling="running_minimum", clamp=None)
    torch.testing.assert_close(loss(logits, F.one_hot(labels, 10), features), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_variances_leave_half_precision(dtype: torch.dtype) -> None:
    features = (300 * torch.rand(3, 64, 4, 4)).to(dtype)
    expected = features.double().flatten(1).var(dim=1)
    assert variances(features).dtype == torch.float32
    torch.testing.assert_close(variances(features).double(), expected, rtol=1e-5, atol=0)


def test_any_memory_layout() -> None:
    features = torch.rand(3, 8, 4, 4)
    last = features.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(variances(last), variances(features))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (None, "needs the feature maps.*got None"),
        (torch.zeros(2, 1, 3, 3), r"\(4, 5\), got \(2, 1, 3, 3\)"),
        (torch.zeros(4, 1, 1, 1), r"\(1, 1, 1\) has no variance"),
    ],
)
def test_features_that_wont_do(features: torch.Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create("bias")(torch.zeros(4, 5), torch.eye(5)[:4], features)
