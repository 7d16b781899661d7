"""Losses of sparse targets, against float64 NumPy on the expanded distribution."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from tests.contracts.test_losses import every
from tests.losses.distillation_references import DISTILLATION, distillation
from tests.losses.feature_maps import bias_weights, bound, maps
from tests.losses.named import create
from tinyrefinery.losses.targets import SparseTargets

SIZES = [(K, k) for K in (10, 100, 1000) for k in (1, 5, 10, K) if (K, k) != (10, K)]
SIZES += [(10, 9), (2, 1)]


def draw(
    classes: int, named: int, left: float = 0.2, rows: int = 4
) -> tuple[np.ndarray, SparseTargets]:
    """Logits (B, K), and targets that leave a mass of `left` to the classes they don't name."""
    random = np.random.default_rng(classes + named)
    index = np.stack([random.permutation(classes)[:named] for _ in range(rows)])
    mass = 1 if named == classes else 1 - left
    probability = random.dirichlet(np.full(named, 0.7), rows) * mass
    targets = SparseTargets(torch.tensor(index), torch.tensor(probability), classes)
    return random.normal(size=(rows, classes)) * 3, targets


def spread(targets: SparseTargets) -> np.ndarray:
    """The whole distribution, (B, K), entry by entry."""
    index, named = targets.index.numpy(), targets.probability.double().numpy()
    t = np.zeros((len(index), targets.classes))
    for b, (classes, values) in enumerate(zip(index, named, strict=True)):
        others = set(range(targets.classes)) - set(classes.tolist())
        for c in others:
            t[b, c] = max(0.0, 1 - values.sum()) / len(others)
        for c, value in zip(classes, values, strict=True):
            t[b, c] = value
    return t


def reference(name: str, options: dict, z: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss and its gradient to the logits, by the definitions and their derivatives."""
    if (name, options) in DISTILLATION:
        return distillation(name, options, z, t), differences(name, options, z, t)
    log_p = z - z.max(1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
    p, gamma = np.exp(log_p), options.get("gamma", 2)
    q = -np.expm1(log_p)  # 1 - p
    if name in ("cross_entropy", "bias"):
        t = t * bias_weights(maps(len(z)).numpy(), **options)[:, None] if name == "bias" else t
        terms, slope = -t * log_p, -t  # slope: the derivative of the terms to log p
    elif name == "focal":
        terms = -t * q**gamma * log_p
        slope = t * (gamma * q ** (gamma - 1) * p * log_p - q**gamma)
    elif name == "l2":
        terms, slope = (p - t) ** 2, 2 * (p - t) * p
    elif options.get("direction") == "output_to_label":
        raised = np.maximum(t, options.get("floor", 1e-6))
        ratio = log_p - np.log(raised / raised.sum(1, keepdims=True))
        terms, slope = p * ratio, p * (ratio + 1)
    elif name == "kl":
        log_t = np.log(np.where(t > 0, t, 1))
        terms, slope = t * (log_t - log_p), -t
    else:
        raise NotImplementedError(name)
    gradient = (slope - p * slope.sum(1, keepdims=True)) / len(z)
    return terms.sum() / len(z), gradient


def differences(name: str, options: dict, z: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Central differences of some entries of the gradient, by the definitions; NaN elsewhere."""
    gradient, step = np.full(z.shape, np.nan), 1e-5
    for place in list(np.ndindex(z.shape))[:: max(1, z.size // 20)]:
        values = []
        for sign in (1, -1):
            moved = z.copy()
            moved[place] += sign * step
            values.append(distillation(name, options, moved, t))
        gradient[place] = (values[0] - values[1]) / (2 * step)
    return gradient


def check_gradient(
    name: str, slope: Tensor, gradient: np.ndarray, rtol: float, atol: float
) -> None:
    known = ~np.isnan(gradient)
    if name in dict(DISTILLATION):  # from differences, which are less exact
        rtol, atol = max(rtol, 1e-5), max(atol, 1e-8 * max(1, np.abs(gradient[known]).max()))
    np.testing.assert_allclose(slope.double().numpy()[known], gradient[known], rtol=rtol, atol=atol)


def value_and_gradient(name: str, options: dict, z: Tensor, t: SparseTargets) -> tuple[Tensor, ...]:
    z = z.clone().requires_grad_()
    value = bound(name, options)(z, t)
    return value, *torch.autograd.grad(value, z)


@every
@pytest.mark.parametrize(("classes", "named"), SIZES)
@pytest.mark.parametrize("left", [0.2, 1e-6, 0.0])
def test_equals_the_definition(
    name: str, options: dict, classes: int, named: int, left: float
) -> None:
    z, targets = draw(classes, named, left)
    got, slope = value_and_gradient(name, options, torch.tensor(z), targets)
    expected, gradient = reference(name, options, z, spread(targets))
    assert got.shape == ()
    assert got.item() == pytest.approx(expected, rel=1e-10, abs=1e-13)
    check_gradient(name, slope, gradient, rtol=1e-9, atol=1e-14)


@every
@pytest.mark.parametrize("named", [1, 5, 10])
def test_finite_differences(name: str, options: dict, named: int) -> None:
    z, targets = draw(10, named)
    loss = bound(name, options)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), torch.tensor(z, requires_grad=True))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("classes", "named"), [(10, 5), (1000, 1), (1000, 10), (1000, 1000)])
@pytest.mark.parametrize("left", [0.2, 1e-6, 0.0])
def test_single_and_half_precision(
    name: str, options: dict, dtype: torch.dtype, classes: int, named: int, left: float
) -> None:
    z, targets = draw(classes, named, left)
    logits, targets = torch.tensor(z).to(dtype), targets.to(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, slope = value_and_gradient(name, options, logits, targets)
    assert (got.dtype, slope.dtype) == (torch.float32, dtype)
    expected, gradient = reference(name, options, logits.double().numpy(), spread(targets))
    assert got.item() == pytest.approx(expected, rel=1e-5)
    scale, unit = np.nanmax(np.abs(gradient)), torch.finfo(dtype).eps
    check_gradient(name, slope, gradient, rtol=max(unit, 1e-4), atol=max(1e-6 * scale, 6e-8))


@every
def test_hard_targets(name: str, options: dict) -> None:
    """One class with probability one: nothing is left, 0 log 0 is 0."""
    z, targets = draw(100, 1, 0.0)
    one_hot = np.eye(100)[targets.index[:, 0].numpy()]
    assert targets.rest.tolist() == [0.0] * 4
    got, slope = value_and_gradient(name, options, torch.tensor(z), targets)
    expected, gradient = reference(name, options, z, one_hot)
    assert got.item() == pytest.approx(expected, rel=1e-10)
    check_gradient(name, slope, gradient, rtol=1e-9, atol=1e-14)
    if name in ("cross_entropy", "kl") and not options:
        published = F.cross_entropy(torch.tensor(z), targets.index[:, 0])
        torch.testing.assert_close(got, published)


@every
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("shift", [0, 1])
def test_finite_for_certain_outputs(name: str, options: dict, scale: float, shift: int) -> None:
    index = torch.arange(3)[:, None].roll(shift, 0)
    targets = SparseTargets(index, torch.ones(3, 1), 3)
    value, slope = value_and_gradient(name, options, torch.eye(3) * scale, targets)
    assert value.isfinite()
    assert slope.isfinite().all()


@pytest.mark.parametrize("left", [0.2, 1e-3])
@pytest.mark.parametrize("name", ["kl", "l2"])
def test_nothing_where_output_equals_target(name: str, left: float) -> None:
    """In float32: the named classes' part and the others' don't cancel from large numbers."""
    _, targets = draw(1000, 10, left)
    z = torch.tensor(np.log(np.maximum(spread(targets), 1e-30))).float()
    targets = targets.to(dtype=torch.float32)
    assert create("l2")(z, targets).item() == pytest.approx(0, abs=1e-12)
    assert create("kl")(z, targets).item() == pytest.approx(0, abs=3e-6)
    certain = SparseTargets(targets.index[:, :1], torch.ones(4, 1), 1000)
    sure = F.one_hot(certain.index[:, 0], 1000) * 100.0
    backwards = create("kl", direction="output_to_label", floor=1e-9)(sure, certain)
    assert backwards.item() == pytest.approx(0, abs=2e-6)


class Watch(TorchDispatchMode):
    """Follows what every tensor is made from, and notes operations that break the promise.

    `expanded`: operations whose result is made from targets but not from the output, and takes the
    memory of B x K numbers. Views of less memory, and constants, are no targets.
    `waited`: operations that need a value on the host.
    """

    def __init__(self, output: Tensor, targets: SparseTargets) -> None:
        super().__init__()
        self.limit = output.numel()
        self.origin: dict[int, set[str]] = {}
        self.kept: list[Tensor] = []  # else memory is used again and its origin mistaken
        self.expanded: list[str] = []
        self.waited: list[str] = []
        self._note(output, {"output"})
        self._note(targets.index, {"target"})
        self._note(targets.probability, {"target"})

    def _note(self, tensor: Tensor, origin: set[str]) -> None:
        self.kept.append(tensor)
        self.origin[tensor.untyped_storage().data_ptr()] = origin

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"):
            self.waited.append(name)
        # A constant takes nothing but its shape from the tensor that it is made like.
        constant = name.startswith(("new_", "zeros", "ones", "empty", "full"))
        given = [] if constant else [x for x in tree_flatten((args, kwargs))[0] if is_tensor(x)]
        origin = set().union(*(self.origin.get(x.untyped_storage().data_ptr(), ()) for x in given))
        for made in filter(is_tensor, tree_flatten(result)[0]):
            self._note(made, origin)
            numbers = made.untyped_storage().nbytes() / made.element_size()
            if origin == {"target"} and numbers >= self.limit:
                self.expanded.append(name)
        return result


def is_tensor(x: object) -> bool:
    return isinstance(x, Tensor)


def watched(loss, logits: Tensor, targets: SparseTargets) -> Watch:
    with Watch(logits, targets) as watch:
        loss(logits, targets)
    return watch


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_never_expands_targets_nor_waits_for_them(
    name: str, options: dict, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, targets = draw(100, 5)
    targets = targets.to(dtype=torch.float32)
    loss, logits = bound(name, options), torch.tensor(z, dtype=dtype, requires_grad=True)

    def dense(self: SparseTargets) -> Tensor:
        raise AssertionError("expanded")

    monkeypatch.setattr(SparseTargets, "dense", dense)
    watch = watched(loss, logits, targets)
    assert watch.expanded == []
    assert watch.waited == []


@pytest.mark.parametrize(
    "expand",
    [
        lambda z, t: (z * t.dense()).sum(),
        lambda z, t: (z * torch.zeros_like(z).scatter(1, t.index, t.probability)).sum(),
        lambda z, t: (z * t.rest[:, None].expand(z.shape).contiguous()).sum(),
        lambda z, t: (z * (F.one_hot(t.index, 100) * t.probability[..., None]).sum(1)).sum(),
    ],
)
def test_an_expansion_would_be_seen(expand) -> None:
    z, targets = draw(100, 5)
    assert watched(expand, torch.tensor(z, requires_grad=True), targets).expanded


def test_waiting_would_be_seen() -> None:
    z, targets = draw(100, 5)
    assert watched(lambda z, t: bool((t.rest > 0).all()), torch.tensor(z), targets).waited


@pytest.mark.parametrize(("classes", "named"), SIZES)
def test_dense(classes: int, named: int) -> None:
    _, targets = draw(classes, named)
    assert targets.shape == (4, classes)
    np.testing.assert_allclose(targets.dense().numpy(), spread(targets), rtol=1e-12)


def test_sums_above_one_leave_nothing() -> None:
    targets = SparseTargets(torch.tensor([[0, 1]]), torch.tensor([[0.9, 0.1000001]]), 5)
    assert targets.rest.tolist() == [0.0]
    assert create("kl")(torch.zeros(1, 5), targets).isfinite()


def test_to_moves_both_and_casts_probabilities_only() -> None:
    moved = draw(10, 5)[1].to("meta", dtype=torch.float16)
    assert {moved.index.device.type, moved.probability.device.type} == {"meta"}
    assert (moved.index.dtype, moved.probability.dtype) == (torch.int64, torch.float16)


@pytest.mark.parametrize(
    ("index", "probability", "classes", "message"),
    [
        (torch.zeros(3, dtype=torch.int64), torch.zeros(3), 5, r"\(3,\)"),
        (torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, 1), 5, r"\(3, 2\).*\(3, 1\)"),
        (torch.zeros(3, 2, dtype=torch.int32), torch.zeros(3, 2), 5, "int32"),
        (torch.zeros(3, 2).long(), torch.zeros(3, 2).long(), 5, "float type"),
        (torch.zeros(3, 2).long(), torch.zeros(3, 2, device="meta"), 5, "meta"),
        (torch.zeros(3, 6).long(), torch.zeros(3, 6), 5, "6 classes a row, of 5"),
        (torch.zeros(3, 0).long(), torch.zeros(3, 0), 5, "0 classes a row"),
    ],
)
def test_wrong_shapes(index: Tensor, probability: Tensor, classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseTargets(index, probability, classes)


@every
def test_refuses_other_shapes_of_logits(name: str, options: dict) -> None:
    _, targets = draw(10, 5)
    with pytest.raises(ValueError, match=r"\(4, 11\).*\(4, 10\)"):
        bound(name, options)(torch.zeros(4, 11), targets)
