"""Targets in two forms: all K probabilities a crop, or the k largest and an even rest.

Of a thousand classes a refined label has a handful that matter. Kept sparse, ten of them take 120
bytes per crop instead of 4,000, and the losses compute with them as they are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tinyrefinery.shapes import Float


@dataclass(frozen=True, eq=False)
class SparseTargets:
    """Distributions over K classes: k named ones each, the rest of the mass even over the others.

    Shapes are checked; values are not, since on an accelerator that would wait for them. As all
    targets do, these have no gradient.

    Raises:
        ValueError: when `index` and `probability` are not both (B, k) with 1 <= k <= K, or not on
            one device, or `index` is not int64, or `probability` no floats.
    """

    index: Tensor
    """(B, k) int64, numbers of classes in 0..K-1, no two in a row the same; in any order."""
    probability: Tensor
    """(B, k) floats >= 0, those of the classes in `index`; a row sums to one at most."""
    classes: int
    """K."""

    def __post_init__(self) -> None:
        index, probability = self.index, self.probability
        if index.ndim != 2 or index.shape != probability.shape or index.dtype != torch.int64:
            raise ValueError(
                f"sparse targets: index {tuple(index.shape)} of {index.dtype} and probability "
                f"{tuple(probability.shape)} must both be (batch, k), and index int64"
            )
        if not probability.is_floating_point() or index.device != probability.device:
            raise ValueError(
                f"sparse targets: probability ({probability.dtype} on {probability.device}) "
                f"must be of a float type and where index is ({index.device})"
            )
        if not 1 <= index.shape[1] <= self.classes:
            raise ValueError(
                f"sparse targets: {index.shape[1]} classes a row, of {self.classes} classes"
            )

    @property
    def shape(self) -> torch.Size:
        """(B, K), as if they were dense."""
        return torch.Size((len(self.index), self.classes))

    @property
    def others(self) -> int:
        """Classes that a row does not name, K - k."""
        return self.classes - self.index.shape[1]

    @property
    def rest(self) -> Float[Tensor, " B"]:
        """Probability of each class that a row does not name, (B,); 0 where it names all."""
        left = (1 - self.probability.sum(1)).clamp_min(0)  # rounding may bring the sum above one
        return left / self.others if self.others else torch.zeros_like(left)

    def to(
        self, device: torch.device | str | None = None, *, dtype: torch.dtype | None = None
    ) -> "SparseTargets":
        """The same on another device, or with probabilities of another float type."""
        probability = self.probability.to(device=device, dtype=dtype)
        return SparseTargets(self.index.to(device=device), probability, self.classes)

    def dense(self) -> Float[Tensor, "B {self.classes}"]:
        """All probabilities, (B, K)."""
        spread = self.rest[:, None].repeat(1, self.classes)
        return spread.scatter_(1, self.index, self.probability)

    def dot(self, values: Float[Tensor, "B {self.classes}"]) -> Float[Tensor, " B"]:
        """`sum_c t_c values_c`, (B,), of values (B, K)."""
        rest = self.rest
        named = ((self.probability - rest[:, None]) * values.gather(1, self.index)).sum(1)
        return named + rest * values.sum(1)

    def negative_entropy(self) -> Float[Tensor, " B"]:
        """`sum_c t_c log t_c`, (B,), in nats, with 0 log 0 = 0."""
        named, rest = self.probability, self.rest
        return torch.xlogy(named, named).sum(1) + self.others * torch.xlogy(rest, rest)

    def distance_of(self, values: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """`values_c - t_c`, (B, K)."""
        return self._subtract(values, self.probability, self.rest)

    def log_ratio_of(self, log_p: Float[Tensor, "B K"], floor: float) -> Float[Tensor, "B K"]:
        """`log p_c - log t_c`, (B, K), for targets raised to `floor`, then divided by their sum."""
        named, rest = self.probability.clamp_min(floor), self.rest.clamp_min(floor)
        total = named.sum(1) + self.others * rest
        return self._subtract(log_p, (named / total[:, None]).log(), (rest / total).log())

    def _subtract(
        self, values: Float[Tensor, "B K"], named: Float[Tensor, "B k"], rest: Float[Tensor, " B"]
    ) -> Float[Tensor, "B K"]:
        """From values (B, K): `named` (B, k) where a row names a class, elsewhere `rest` (B,)."""
        less = values - rest[:, None]
        # Its derivative is the identity, whatever is subtracted, so autograd need not see this; nor
        # are the named classes made by adding `rest` again, which would leave a rounding error.
        with torch.no_grad():
            less.scatter_(1, self.index, values.gather(1, self.index) - named)
        return less


Targets = Tensor | SparseTargets
"""Distributions over the classes, one a crop."""
