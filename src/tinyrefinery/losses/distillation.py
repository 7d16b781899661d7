"""Further losses between a refined label and the output, from papers on distillation.

Each compares the label t with the output p at a temperature: softmax(log t / T) with softmax(z / T)
of logits z. Labels are raised to `floor` before their logarithm is taken, since a label of 0 has
none. The papers add a cross-entropy with the given class. As with `kl`, there is none here.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.losses.distributions import comparable
from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.shapes import Float

_LEAST_VARIANCE = 1e-14  # of logits: equal logits are divided by 1e-7, as in the authors' code
_CONSTANT = 1e-7  # a centered label of a smaller norm counts as constant; our choice
_LEAST_NORM = 1e-5  # of a centered output, whose gradient is limited so; our choice


@dataclass(frozen=True)
class LogTargets:
    """Logarithms of distributions: of named classes, and one for each of the others.

    Dense targets name all classes in their order, and `index` is None.
    """

    named: Tensor
    """(B, k)."""
    index: Tensor | None
    """Numbers of the named classes, (B, k)."""
    rest: Tensor
    """Of each class that a row doesn't name, (B,)."""
    others: int
    """How many classes a row doesn't name."""

    def of(self, values: Float[Tensor, "B K"]) -> Float[Tensor, "B k"]:
        """The values of the named classes."""
        return values if self.index is None else values.gather(1, self.index)

    def normalized(self) -> "LogTargets":
        """The same, divided by their sum."""
        total = self.log_sum(self.named)
        return LogTargets(self.named - total[:, None], self.index, self.rest - total, self.others)

    def log_sum(self, named: Float[Tensor, "B k"]) -> Float[Tensor, " B"]:
        """Logarithm of the sum over all classes, (B,), with other logarithms of the named ones."""
        if not self.others:
            return named.logsumexp(1)
        return torch.cat([named, self.rest[:, None] + log(self.others)], dim=1).logsumexp(1)

    def dot(self, values: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """`sum_c t_c values_c`, (B,)."""
        chosen = self.of(values)
        total = (self.named.exp() * chosen).sum(1)
        return total + self.rest.exp() * (values.sum(1) - chosen.sum(1)) if self.others else total

    def negative_entropy(self) -> Float[Tensor, " B"]:
        """`sum_c t_c log t_c`, (B,), with 0 log 0 = 0."""
        named = torch.where(self.named.isneginf(), 0, self.named)
        total = (self.named.exp() * named).sum(1)
        return total + self.others * self.rest.exp() * self.rest if self.others else total

    def kl(self, log_p: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """KL(t || p), (B,)."""
        return self.negative_entropy() - self.dot(log_p)


def _logarithms(targets: Targets, floor: float) -> LogTargets:
    """Targets raised to `floor`, as logarithms, not normalized."""
    if isinstance(targets, SparseTargets):
        named, rest = targets.probability.clamp_min(floor), targets.rest.clamp_min(floor)
        return LogTargets(named.log(), targets.index, rest.log(), targets.others)
    logs = targets.clamp_min(floor).log()
    return LogTargets(logs, None, torch.zeros_like(logs[:, 0]), 0)


def _tempered(targets: Targets, floor: float, temperature: float) -> LogTargets:
    """softmax(log t / T) of targets raised to `floor`."""
    logs = _logarithms(targets, floor)
    rest = logs.rest / temperature
    return LogTargets(logs.named / temperature, logs.index, rest, logs.others).normalized()


def standardized_kl(
    logits: Tensor,
    targets: Targets,
    features: Tensor | None = None,
    *,
    temperature: float,
    floor: float,
) -> Float[Tensor, ""]:
    """Mean over the batch of T^2 KL(q(label) || q(output)), q(x) = softmax(Z(x) / T), in nats.

    Z subtracts the mean of a crop's K logits and divides by their standard deviation (with 1 / K),
    so that the student need not match the scale of the refiner's logits (arXiv 2403.01427, section
    4.2). It is 0 where the logits are equal up to scale and shift.

    Args:
        logits: (B, K), before the softmax.
        targets: (B, K), rows sum to one; dense or sparse.
        features: not used.
        temperature: T, the paper's base temperature.
        floor: see `options.losses.StandardizedKl`.
    """
    log_p, t = comparable(logits, targets)
    logs = _logarithms(t, floor)
    classes = log_p.shape[1]
    mean = (logs.named.sum(1) + logs.others * logs.rest) / classes  # (B,)
    named, rest = logs.named - mean[:, None], logs.rest - mean
    variance = (named.square().sum(1) + logs.others * rest.square()) / classes
    scale = variance.clamp_min(_LEAST_VARIANCE).sqrt() * temperature
    label = LogTargets(named / scale[:, None], logs.index, rest / scale, logs.others).normalized()
    centered = log_p - log_p.mean(1, keepdim=True)  # log p and z differ by a constant only
    spread = centered.square().mean(1, keepdim=True).clamp_min(_LEAST_VARIANCE).sqrt()
    output = F.log_softmax(centered / spread / temperature, dim=1)
    return temperature**2 * label.kl(output).mean()


def dkd(
    logits: Tensor,
    targets: Targets,
    features: Tensor | None = None,
    *,
    alpha: float,
    beta: float,
    temperature: float,
    floor: float,
) -> Float[Tensor, ""]:
    """Mean over the batch of T^2 (alpha TCKD + beta NCKD), in nats (arXiv 2203.08679, equation 7).

    TCKD is the KL between label and output as distributions over two events: the target class, and
    all others. NCKD is the KL between both among the other classes, each renormalized. The sum of
    TCKD and (1 - label of the target class) NCKD is the plain KL. The target class is the most
    likely class of the label (of a sparse one, among those that it names). In the paper it is the
    given class, which takes no part in refined labels.

    Args:
        logits: (B, K), before the softmax.
        targets: (B, K), rows sum to one; dense or sparse.
        features: not used.
        alpha: factor of TCKD.
        beta: factor of NCKD.
        temperature: T.
        floor: see `options.losses.Dkd`.
    """
    log_p, t = comparable(logits, targets)
    log_p = F.log_softmax(log_p / temperature, dim=1)
    label = _tempered(t, floor, temperature)
    place = label.named.argmax(1, keepdim=True)  # (B, 1), among the named classes
    target = place if label.index is None else label.index.gather(1, place)
    without = label.named.scatter(1, place, -torch.inf)
    log_t, log_not_t = label.named.gather(1, place)[:, 0], label.log_sum(without)
    log_s = log_p.gather(1, target)[:, 0]
    log_not_s = log_p.scatter(1, target, -torch.inf).logsumexp(1)
    tckd = log_t.exp() * (log_t - log_s) + log_not_t.exp() * (log_not_t - log_not_s)
    among = LogTargets(
        without - log_not_t[:, None], label.index, label.rest - log_not_t, label.others
    )
    nckd = among.kl(log_p - log_not_s[:, None])
    return temperature**2 * (alpha * tckd + beta * nckd).mean()


def dist(
    logits: Tensor,
    targets: Targets,
    features: Tensor | None = None,
    *,
    beta: float,
    gamma: float,
    temperature: float,
    floor: float,
) -> Float[Tensor, ""]:
    """T^2 (beta inter + gamma intra), from correlations of label and output (arXiv 2205.10536).

    inter is the mean over crops of 1 - Pearson's correlation between label and output over the
    classes. intra is the mean over classes of the same over the crops of the batch, so the value
    depends on the batch as a whole. Between 0 and 2 T^2 (beta + gamma). Where either is constant,
    the correlation counts as 0.

    Args:
        logits: (B, K), before the softmax.
        targets: (B, K), rows sum to one; dense or sparse.
        features: not used.
        beta: factor of inter (equation 7).
        gamma: factor of intra (equation 8).
        temperature: T of both softmaxes.
        floor: see `options.losses.Dist`.
    """
    log_p, t = comparable(logits, targets)
    dtype = log_p.dtype
    if log_p.device.type != "mps":  # which has no float64
        # Unnamed classes differ by little over a batch, which single precision would lose.
        log_p, t = log_p.double(), t.to(dtype=torch.float64)
    output = F.softmax(log_p / temperature, dim=1)
    label = _tempered(t, floor, temperature)
    inter = 1 - _correlations_over_classes(output, label).mean()
    intra = 1 - _correlations_over_crops(output, label).mean()
    return (temperature**2 * (beta * inter + gamma * intra)).to(dtype)


def _correlations_over_classes(
    output: Float[Tensor, "B K"], label: LogTargets
) -> Float[Tensor, " B"]:
    """Pearson's correlation of each row, (B,). The mean of a distribution is 1 / K."""
    centered = output - 1 / output.shape[1]
    named, rest = label.named.exp() - 1 / output.shape[1], label.rest.exp() - 1 / output.shape[1]
    chosen = label.of(centered)
    product = (named * chosen).sum(1)
    squares = named.square().sum(1)
    if label.others:
        product = product + rest * (centered.sum(1) - chosen.sum(1))
        squares = squares + label.others * rest.square()
    return _correlation(product, torch.linalg.vector_norm(centered, dim=1), squares.sqrt())


def _correlations_over_crops(
    output: Float[Tensor, "B K"], label: LogTargets
) -> Float[Tensor, " K"]:
    """Pearson's correlation of each column, (K,)."""
    centered = output - output.mean(0)
    if label.index is None:
        difference = label.named.exp()
        difference = difference - difference.mean(0)
        product, norm = (centered * difference).sum(0), torch.linalg.vector_norm(difference, dim=0)
    else:
        product, norm = _sparse_products(centered, label, label.index)
    return _correlation(product, torch.linalg.vector_norm(centered, dim=0), norm)


def _correlation(product: Tensor, output: Tensor, label: Tensor) -> Tensor:
    """Correlations from products and norms of centered outputs and labels; 0 of a constant."""
    varies = label > _CONSTANT
    found = product / (output.clamp_min(_LEAST_NORM) * torch.where(varies, label, 1))
    return torch.where(varies, found, 0)


def _sparse_products(
    centered: Float[Tensor, "B K"], label: LogTargets, index: Tensor
) -> tuple[Float[Tensor, " K"], Float[Tensor, " K"]]:
    """Of each class, the sum of products with the centered label, and the label's norm, (K,).

    A label is `rest` of its row, plus `more` where the row names the class.
    """
    rest = label.rest.exp() if label.others else torch.zeros_like(label.rest)  # (B,)
    more = label.named.exp() - rest[:, None]  # (B, k)

    def by_class(values: Tensor) -> Tensor:
        return centered.new_zeros(centered.shape[1]).index_add(0, index.flatten(), values.flatten())

    off = rest - rest.mean()  # columns of `centered` sum to zero, so the mean plays no part
    product = off @ centered + by_class(more * centered.gather(1, index))
    mean = by_class(more) / len(rest)
    # sum_b (off_b + more_b - mean)^2, where off sums to zero
    squares = off.square().sum() + by_class(2 * off[:, None] * more + more.square())
    squares = squares - len(rest) * mean.square()
    return product, squares.clamp_min(0).sqrt()
