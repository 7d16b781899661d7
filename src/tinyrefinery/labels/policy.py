"""Label policies: from a batch of crops to its target distributions (B, K).

Rows sum to one; no gradient. Ground truth is a distribution like any other, so every loss works
with every policy, whether it gives all K probabilities or `SparseTargets`. Label Refinery's
ablations (arXiv 1805.02641, Tables 4 and 5) are the grid of `level` x `hard` x `batch_norm` of one
class, `Refined`: level "crop" is what the paper calls dynamic, "image" and "category" are static.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.data.batches import Batch, View
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.moving import to_device
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.losses.targets import SparseTargets, Targets

Level = Literal["crop", "image", "category"]


class LabelPolicy(Protocol):
    """Anything that labels a batch."""

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K) or sparse, float32, rows sum to one."""
        ...


class GroundTruth:
    """The given class, one-hot; of images whose label is soft, that distribution."""

    def __init__(self, classes: int, manifest: Manifest | None = None) -> None:
        """Label with `classes` classes, and with the soft labels of a manifest if it has any."""
        self.classes = classes
        rows, targets = (np.empty(0, np.int64), None) if manifest is None else manifest.soft_labels
        self._soft = None if targets is None or not len(rows) else torch.from_numpy(targets).float()
        self._place = np.full(0 if manifest is None else len(manifest), -1)
        self._place[rows] = np.arange(len(rows))

    def __call__(self, batch: Batch) -> Tensor:
        """Targets, (B, K)."""
        targets = F.one_hot(batch.labels, self.classes).float()
        if self._soft is None:
            return targets
        place = self._place[batch.rows]
        soft = torch.from_numpy(np.flatnonzero(place >= 0))
        targets[soft.to(targets.device)] = self._soft[place[soft.numpy()]].to(targets.device)
        return targets


class LabelSmoothing:
    """Ground truth, mixed with the uniform distribution (Szegedy et al., 2016, section 7)."""

    def __init__(
        self, classes: int, epsilon: float = 0.1, manifest: Manifest | None = None
    ) -> None:
        """Give the share `epsilon`, in [0, 1], to all classes evenly; see `GroundTruth`."""
        self.classes, self.epsilon = classes, epsilon
        self._truth = GroundTruth(classes, manifest)

    def __call__(self, batch: Batch) -> Tensor:
        """(1 - epsilon) ground truth + epsilon / K, (B, K)."""
        return self._truth(batch) * (1 - self.epsilon) + self.epsilon / self.classes


class Refined:
    """Labels by a refiner: the given class takes no part (arXiv 1805.02641, section 3)."""

    def __init__(
        self,
        refiner: Refiner,
        view: View,
        rows: np.ndarray,
        *,
        image_view: View | None = None,
        level: Level = "crop",
        hard: bool = False,
        bn_group: int = 256,
        store: Callable[[Batch], Targets] | None = None,
    ) -> None:
        """Label crops of `view`.

        Args:
            refiner: the frozen networks.
            view: the training crops; the BN groups follow its seed.
            rows: the training samples, which make up the BN groups.
            image_view: the crop that stands for the whole image at levels "image" and "category".
            level: label of this very crop; of its image's central crop; or the mean of those over
                the image's given category (Table 5).
            hard: one-hot of the most likely class instead of the distribution (Table 4).
            bn_group: crops that share batch statistics; it matters where the refiner has batch
                normalization in "batch" mode.
            store: where labels of crops are kept and read from; None: made anew each time.

        Raises:
            CheckpointError: when the refiner has other classes than the data.
        """
        self.crop_labels = CropLabels(refiner, view, rows, group=bn_group)
        self.view, self.rows, self.level, self.hard = view, rows, level, hard
        self.image_view = image_view or view
        self.classes = self.crop_labels.classes
        self.plan = self.crop_labels.plan if refiner.depends_on_mates else None
        self.store = store
        self._stream, self._known, self._labels = -1, np.zeros(0, bool), torch.zeros(0)
        self._static: Tensor | None = None

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K) float32."""
        if self.level == "crop":
            labels = self.store(batch) if self.store else self._crop_labels(batch)
        else:
            labels = self._static_labels()[to_device(batch.rows, batch.images.device)]
            if self.level == "category":
                labels = self._category_means[batch.labels]
        if self.hard:
            return F.one_hot(_top_class(labels), self.classes).float()
        return labels

    def _crop_labels(self, batch: Batch) -> Tensor:
        if self.plan is None:
            return self.crop_labels.of_group(batch)
        if self.plan.is_whole(batch.rows, self.view.stream(batch.epoch)):
            return self.crop_labels.of_groups(batch)
        return self._planned_labels(batch)

    def _planned_labels(self, batch: Batch) -> Tensor:
        """Labels for a batch that cuts across BN groups: render and label the groups it touches."""
        assert self.plan is not None
        stream = self.view.stream(batch.epoch)
        if stream != self._stream:
            rows = int(self.rows.max()) + 1
            self._labels = torch.zeros(0)  # let the last stream's go before there are two
            self._labels = torch.zeros((rows, self.classes), device=batch.images.device)
            self._known, self._stream = np.zeros(rows, bool), stream
        unknown = batch.rows[~self._known[batch.rows]]
        if len(unknown):
            for number in np.unique(self.plan.group_of(unknown, stream)):
                mates = self.view.render(self.plan.mates(int(number), stream), stream)
                labels = self.crop_labels.of_group(mates)
                own = self.plan.group_of(mates.rows, stream) == number
                fresh, rows = np.flatnonzero(own), mates.rows[own]
                self._labels[to_device(rows, labels.device)] = labels[
                    to_device(fresh, labels.device)
                ]
                self._known[rows] = True
        return self._labels[to_device(batch.rows, self._labels.device)]

    def _static_labels(self) -> Tensor:
        """One label an image, from its central crop: made once, (rows, K)."""
        if self._static is not None:
            return self._static
        groups = list(self.crop_labels.plan.groups(0))
        device = self.view.device
        static = torch.zeros((int(self.rows.max()) + 1, self.classes), device=device)
        # Backwards, so that of two labels the first group's stands, as GroupPlan.groups says.
        for rows in reversed(groups):
            batch = self.image_view.render(rows, 0)
            static[torch.as_tensor(rows)] = self.crop_labels.of_group(batch)
        given = torch.from_numpy(self.view.dataset.manifest.labels[self.rows]).to(device)
        # A product rather than index_add_, whose order of summation varies on accelerators.
        member = F.one_hot(given, self.classes).float()
        sums = member.T @ static[torch.as_tensor(self.rows)]
        self._category_means = sums / member.sum(dim=0).clamp(min=1)[:, None]
        self._static = static
        return static


def _top_class(labels: Targets) -> Tensor:
    """Most likely class of each label, (B,) int64."""
    if isinstance(labels, SparseTargets):
        return labels.index.gather(1, labels.probability.argmax(dim=1, keepdim=True))[:, 0]
    return labels.argmax(dim=1)
