"""What every loss promises, against NumPy in double precision."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.losses.distillation_references import DISTILLATION, distillation
from tests.losses.feature_maps import BIAS, bias_weights, bound, maps
from tests.losses.named import create
from tests.recipe_files import write_tiny
from tinyrefinery.errors import RecipeError
from tinyrefinery.losses import LOSSES
from tinyrefinery.losses.targets import SparseTargets
from tinyrefinery.recipe.load import load_recipe

VARIANTS = [
    ("cross_entropy", {}),
    ("focal", {"gamma": 0}),
    ("focal", {}),
    ("focal", {"gamma": 0.5}),
    ("kl", {}),
    ("kl", {"direction": "output_to_label"}),
    ("kl", {"direction": "output_to_label", "floor": 1e-3}),
    ("l2", {}),
    *BIAS,
    *DISTILLATION,
]
LEAST_AT_TARGET = [v for v in VARIANTS if v[0] != "focal" or v[1].get("gamma") == 0]
every = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)


def reference(name: str, options: dict, logits: np.ndarray, t: np.ndarray) -> float:
    """The loss, by its definition."""
    if (name, options) in DISTILLATION:
        return distillation(name, options, logits, t)
    return by_class(name, options, logits, t)


def by_class(name: str, options: dict, logits: np.ndarray, t: np.ndarray) -> float:
    """The definitions, row by row and class by class."""
    total = 0.0
    weights = np.ones(len(logits))
    if name == "bias":
        weights = bias_weights(maps(len(logits)).numpy(), **options)
    for z, row, weight in zip(logits, t, weights, strict=True):
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        if options.get("direction") == "output_to_label":
            raised = np.maximum(row, options.get("floor", 1e-6))
            row = raised / raised.sum()
        for p_k, t_k in zip(p, row, strict=True):
            if name in ("cross_entropy", "bias"):
                total -= weight * t_k * np.log(p_k)
            elif name == "focal":
                total -= t_k * (1 - p_k) ** options.get("gamma", 2) * np.log(p_k)
            elif name == "l2":
                total += (p_k - t_k) ** 2
            elif options.get("direction") == "output_to_label":
                total += p_k * np.log(p_k / t_k)
            elif t_k > 0:
                total += t_k * np.log(t_k / p_k)
    return total / len(logits)


def draw(rows: int = 6, classes: int = 5, zeros: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(1)
    t = random.dirichlet(np.full(classes, 0.7), rows)
    if zeros:
        t[:, 1:3] = 0
        t[0] = np.eye(classes)[4]
        t /= t.sum(1, keepdims=True)
    return torch.tensor(random.normal(size=(rows, classes)) * 3), torch.tensor(t)


def test_every_name_is_tested() -> None:
    assert {name for name, _ in VARIANTS} == set(LOSSES)


@every
@pytest.mark.parametrize("zeros", [False, True])
def test_equals_the_definition(name: str, options: dict, zeros: bool) -> None:
    logits, targets = draw(zeros=zeros)
    got = bound(name, options)(logits, targets)
    assert got.shape == ()
    expected = reference(name, options, logits.numpy(), targets.numpy())
    assert got.item() == pytest.approx(expected, rel=1e-10)


@every
@pytest.mark.parametrize("zeros", [False, True])
def test_gradient(name: str, options: dict, zeros: bool) -> None:
    logits, targets = draw(zeros=zeros)
    loss = bound(name, options)
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), logits.requires_grad_())


@every
@pytest.mark.parametrize("left", [0.0, 0.3])
def test_takes_sparse_targets(name: str, options: dict, left: float) -> None:
    logits, _ = draw(rows=2)
    sparse = SparseTargets(
        torch.tensor([[3, 0], [1, 2]]),
        torch.tensor([[0.9, 0.1], [0.25, 0.75]]).double() * (1 - left),
        classes=5,
    )
    whole = np.full((2, 5), left / 3)
    whole[[0, 0, 1, 1], [3, 0, 1, 2]] = np.array([0.9, 0.1, 0.25, 0.75]) * (1 - left)
    loss = bound(name, options)
    expected = reference(name, options, logits.numpy(), whole)
    assert loss(logits, sparse).item() == pytest.approx(expected, rel=1e-7)
    assert torch.autograd.gradcheck(lambda z: loss(z, sparse), logits.requires_grad_())


@pytest.mark.parametrize(("name", "options"), LEAST_AT_TARGET, ids=str)
def test_least_where_output_equals_target(name: str, options: dict) -> None:
    _, targets = draw(classes=4)
    targets = 0.9 * targets + 0.025  # clear of every floor
    loss = bound(name, options)
    at = targets.log().requires_grad_()
    value = loss(at, targets)
    value.backward()
    assert at.grad is not None
    torch.testing.assert_close(at.grad, torch.zeros_like(at), atol=1e-12, rtol=0)
    if name in ("kl", "l2", "standardized_kl", "dkd", "dist"):
        assert value.item() == pytest.approx(0, abs=1e-12)
    for step in torch.randn(10, *at.shape, generator=torch.Generator().manual_seed(2)):
        assert loss(at.detach() + 0.1 * step, targets) > value


def test_focal_of_hard_targets_is_the_published_one() -> None:
    logits, _ = draw()
    labels = torch.tensor([0, 4, 2, 1, 3, 0])
    p = logits.softmax(1)[torch.arange(6), labels]
    published = (-((1 - p) ** 2) * p.log()).mean()
    hard = torch.nn.functional.one_hot(labels, 5)
    torch.testing.assert_close(create("focal", gamma=2)(logits, hard), published)


def test_label_to_output_has_the_gradient_of_cross_entropy() -> None:
    logits, targets = draw(zeros=True)
    gradients = []
    for name in ("cross_entropy", "kl"):
        z = logits.clone().requires_grad_()
        create(name)(z, targets).backward()
        gradients.append(z.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


@every
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_finite_for_certain_outputs_and_hard_targets(
    name: str, options: dict, scale: float
) -> None:
    logits = (torch.eye(3) * scale).requires_grad_()
    for targets in (torch.eye(3), torch.eye(3).roll(1, 0)):  # right, wrong
        value = bound(name, options)(logits, targets)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite()
        assert gradient.isfinite().all()


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_left(name: str, options: dict, dtype: torch.dtype) -> None:
    logits, targets = draw()
    half = logits.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = bound(name, options)(half, targets.float())
    assert got.dtype == torch.float32
    got.backward()
    assert half.grad is not None
    expected = reference(name, options, half.detach().double().numpy(), targets.numpy())
    assert got.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "options"), [v for v in VARIANTS if v not in BIAS and v[0] != "dist"], ids=str
)
def test_mean_over_the_batch(name: str, options: dict) -> None:
    logits, targets = draw()
    loss = bound(name, options)
    rows = [loss(logits[i : i + 1], targets[i : i + 1]) for i in range(len(logits))]
    torch.testing.assert_close(loss(logits, targets), torch.stack(rows).mean())


@every
def test_refuses_to_broadcast(name: str, options: dict) -> None:
    logits, targets = draw()
    with pytest.raises(ValueError, match=r"\(6, 5\).*\(1, 5\)"):
        bound(name, options)(logits, targets[:1])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("{name: cross_entropi}", r"loss: no kind is named 'cross_entropi' \(did you mean 'cross_"),
        ("{name: focal, gama: 1}", r"loss\.gama: unknown key \(did you mean 'gamma'"),
        ("{name: l2, gamma: 1}", r"loss\.gamma: unknown key \(known: name\)"),
        ("{name: kl, direction: both}", r"loss\.direction: should be 'label_to_output' or 'output"),
        ("{name: kl, floor: 0.0}", r"loss\.floor: should be greater than 0, not 0\.0"),
        (
            "{name: focal, gamma: -1.0}",
            r"loss\.gamma: should be greater than or equal to 0, not -1",
        ),
        (
            "{name: bias, scalling: variances}",
            r"loss\.scalling: unknown key \(did you mean 'scaling'",
        ),
        ("{name: bias, scaling: batch}", r"loss\.scaling: should be 'activations', 'variances' or"),
        ("{name: bias, formula: code}", r"loss\.formula: should be 'paper' or 'checkpoints', not"),
        (
            "{name: bias, alpha: -0.1}",
            r"loss\.alpha: should be greater than or equal to 0, not -0\.1",
        ),
        ("{name: bias, clamp: [0.0, 1.0]}", r"loss\.clamp\.0: should be greater than 0, not 0\.0"),
        (
            "{name: bias, clamp: [1.5, 0.5]}",
            r"loss\.clamp: should be \[least, most\], but 1\.5 > 0\.5",
        ),
        ("{name: bias, clamp: null, beta: 1.0}", r"loss\.clamp: .*the weight 0, but"),
        (
            "{name: bias, clamp: null, formula: checkpoints, alpha: 0}",
            r"loss\.clamp: .*weight 0, but",
        ),
        ("{name: bias, alpha: much}", r"loss\.alpha: should be a valid number, not 'much'"),
        ("{name: focal, gamma: two}", r"loss\.gamma: should be a valid number, not 'two'"),
    ],
)
def test_wrong_names_and_values(loss: str, message: str, tmp_path: Path) -> None:
    """A range is declared once, in `options.losses`, and its message comes from there."""
    with pytest.raises(RecipeError, match=message):
        load_recipe(write_tiny(tmp_path), [f"stages.plain.loss={loss}"])
