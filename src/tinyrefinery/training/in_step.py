"""Networks that train in step share their batches: each is rendered once and labeled once.

Students of one refiner share its work this way without a label store. Where crops depend on the
networks in training, it is the only way to share it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from tinyrefinery.data.batches import Batch, View, load
from tinyrefinery.labels.policy import LabelPolicy, RefinedLabels
from tinyrefinery.losses.targets import Targets


class SharedBatches:
    """Renders the batches of an epoch once for several trainings."""

    def __init__(self) -> None:
        """Start with nothing rendered."""
        self._epoch = (-1, -1)
        self._coming: Iterator[Batch] = iter(())
        self._number, self._batch = -1, None

    def __call__(
        self, view: View, batches: Sequence[np.ndarray], epoch: int, *, workers: int = 0
    ) -> Iterator[Batch]:
        """As `data.batches.load`; a training that lags behind the others renders for itself."""
        if self._epoch != (epoch, len(batches)):
            self._epoch = epoch, len(batches)
            self._coming = load(view, batches, epoch, workers=workers)
            self._number, self._batch = -1, None
        wanted = self._epoch
        for number, rows in enumerate(batches):
            # The first training to get here renders; a later one may be epochs behind, or ahead.
            if self._epoch == wanted and number == self._number + 1:
                self._number, self._batch = number, next(self._coming)
            shared = self._batch if (self._epoch, self._number) == (wanted, number) else None
            yield view.render(rows, epoch) if shared is None else shared


class SharedLabels:
    """Labels a batch once, however often it is asked for."""

    def __init__(self, policy: LabelPolicy, *, features: bool = False) -> None:
        """Share the labels of `policy`.

        Args:
            policy: labels each batch.
            features: whether a training asks for the refiner's features too.
        """
        self.policy, self._features = policy, features
        self._batch: Batch | None = None
        self._made: tuple[Targets, Tensor | None] | None = None

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K)."""
        return self._of(batch)[0]

    def with_features(self, batch: Batch) -> tuple[Targets, Tensor]:
        """Targets of the batch, and the refiner's feature maps of its crops, (B, C, h, w)."""
        targets, maps = self._of(batch)
        assert maps is not None
        return targets, maps

    def _of(self, batch: Batch) -> tuple[Targets, Tensor | None]:
        if self._made is None or batch is not self._batch:
            self._batch, self._made = batch, self._make(batch)
        return self._made

    def _make(self, batch: Batch) -> tuple[Targets, Tensor | None]:
        if not self._features:
            return self.policy(batch), None
        assert isinstance(self.policy, RefinedLabels)
        return self.policy.with_features(batch)
