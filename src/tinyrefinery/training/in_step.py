"""Networks that train in step share their batches: each is rendered once and labeled once.

Students of one refiner share its work this way without a label store. Where crops depend on the
networks in training, it is the only way to share it.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from tinyrefinery.data.batches import Batch, View, load
from tinyrefinery.labels.policy import LabelPolicy
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

    def __init__(self, policy: LabelPolicy) -> None:
        """Share the labels of `policy`."""
        self.policy = policy
        self._batch: Batch | None = None
        self._targets: Targets | None = None

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K)."""
        if self._targets is None or batch is not self._batch:
            self._batch, self._targets = batch, self.policy(batch)
        return self._targets
