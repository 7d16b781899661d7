"""Label policies: from a batch of crops to its target distributions (B, K).

Rows sum to one; no gradient. Ground truth is a distribution like any other, so every loss works
with every policy, whether it gives all K probabilities or `SparseTargets`. Label Refinery's
ablations (arXiv 1805.02641, Tables 4 and 5) are the grid of `level` x `hard` x `batch_norm` of one
class, `RefinedLabels`: level "crop" is what the paper calls dynamic, "image" and "category" are
static.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.data.batches import Batch, View
from tinyrefinery.data.device import to_device
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.labels.batch_norm import GroupPlan
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.threshold_samples import threshold_classes
from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.options.labels import LabelSmoothing, Refining
from tinyrefinery.shapes import Float32, Int64


class LabelPolicy(Protocol):
    """Anything that labels a batch."""

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K) or sparse, float32, rows sum to one."""
        ...


class GivenLabels:
    """The given class, one-hot; of images whose label is soft, that distribution.

    Pictures without a label get the same probability for each class.
    """

    def __init__(
        self, classes: int, manifest: Manifest | None = None, threshold_samples: float = 0.0
    ) -> None:
        """Label with `classes` classes, and with the soft labels of a manifest if it has any.

        Args:
            classes: K.
            manifest: of the data.
            threshold_samples: share of the manifest's images that get a wrong class.
        """
        self.classes = classes
        self._threshold = None
        if threshold_samples and manifest is not None:
            self._threshold = threshold_classes(manifest.labels, classes, threshold_samples)
        rows, targets = (np.empty(0, np.int64), None) if manifest is None else manifest.soft_labels
        self._soft = None if targets is None or not len(rows) else torch.from_numpy(targets).float()
        labels = np.zeros(0, np.int64) if manifest is None else manifest.labels
        self._unlabelled = labels < 0 if labels.min(initial=0) < 0 else None  # by row, if any
        self._place = np.full(len(labels), -1)
        self._place[rows] = np.arange(len(rows))

    def __call__(self, batch: Batch) -> Float32[Tensor, "B {self.classes}"]:
        """Targets, (B, K)."""
        labels = batch.labels
        if self._threshold is not None:
            wrong = torch.from_numpy(self._threshold[batch.rows]).to(labels.device)
            labels = torch.where(wrong >= 0, wrong, labels)
        if self._unlabelled is not None:
            labels = labels.clamp_min(0)
        targets = F.one_hot(labels, self.classes).float()  # (B,) -> (B, K)
        if self._unlabelled is not None:
            unknown = to_device(self._unlabelled[batch.rows], targets.device)
            targets = torch.where(unknown[:, None], 1 / self.classes, targets)
        if self._soft is None:
            return targets
        place = self._place[batch.rows]
        if self._threshold is not None:
            place = np.where(self._threshold[batch.rows] >= 0, -1, place)
        soft = torch.from_numpy(np.flatnonzero(place >= 0))
        targets[soft.to(targets.device)] = self._soft[place[soft.numpy()]].to(targets.device)
        return targets


class SmoothedLabels:
    """Ground truth, mixed with the uniform distribution (Szegedy et al., 2016, section 7)."""

    def __init__(
        self, part: LabelSmoothing, classes: int, manifest: Manifest | None = None
    ) -> None:
        """Smooth the labels that `GivenLabels(classes, manifest)` gives."""
        self.epsilon, self.classes = part.epsilon, classes
        self._given = GivenLabels(classes, manifest)

    def __call__(self, batch: Batch) -> Float32[Tensor, "B {self.classes}"]:
        """(1 - epsilon) ground truth + epsilon / K, (B, K)."""
        return self._given(batch) * (1 - self.epsilon) + self.epsilon / self.classes


class MixedLabels:
    """The labels of two crops that are mixed, in proportion to their shares.

    For labels that follow from the image. A refiner labels mixed crops itself.
    """

    def __init__(self, policy: Callable[[Batch], Targets], manifest: Manifest) -> None:
        """Mix the labels that `policy` gives to the images of `manifest`."""
        self.policy, self._given = policy, manifest.labels

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K) float32."""
        own, mixing = self.policy(batch), batch.mixing
        if mixing is None:
            return own
        labels = to_device(self._given[mixing.partners], batch.labels.device)
        others = self.policy(replace(batch, rows=mixing.partners, labels=labels))
        assert isinstance(own, Tensor)
        assert isinstance(others, Tensor)
        share = to_device(mixing.own.astype(np.float32), own.device)[:, None]
        return share * own + (1 - share) * others


class RefinedLabels:
    """Labels by a refiner: the given class takes no part (arXiv 1805.02641, section 3)."""

    def __init__(
        self,
        part: Refining,
        crop_labels: CropLabels,
        *,
        image_view: View | None = None,
        store: Callable[[Batch], Targets] | None = None,
    ) -> None:
        """Label crops of the view that `crop_labels` has.

        Args:
            part: level of the labels, and whether they are hard.
            crop_labels: how crops are labeled, and in which BN groups.
            image_view: the crop that stands for the whole image at levels "image" and "category";
                None: the training crops of epoch 0.
            store: where labels of crops are kept and read from; None: recomputed each time.
        """
        self.part, self.crop_labels, self.store = part, crop_labels, store
        self.view, self.rows = crop_labels.view, crop_labels.rows
        self.image_view = replace(image_view or self.view, sizes=self.view.sizes)
        self.classes = crop_labels.classes
        self.plan = crop_labels.plan if crop_labels.refiner.depends_on_batch else None
        # Labels of the stream at hand, by manifest row, (rows, K), and which of them are made.
        self._stream, self._is_made, self._labels = -1, np.zeros(0, bool), torch.zeros(0)

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K) float32."""
        if self.part.level == "crop":
            labels = self.store(batch) if self.store else self._crop_labels(batch)
        elif self.part.level == "image":
            labels = self._image_labels[
                to_device(batch.rows, batch.images.device)
            ]  # (rows, K) -> (B, K)
        else:
            labels = self._category_labels[batch.labels]  # (K, K) -> (B, K)
        return self._hardened(labels)

    def with_features(self, batch: Batch) -> tuple[Targets, Float32[Tensor, "B C h w"]]:
        """Targets of the batch as a call gives them, and the refiner's feature maps of its crops.

        For labels of crops by one network, without a store. Both come from one forward pass. Only
        a batch that cuts across BN groups takes two: its maps have the statistics of the batch.
        """
        if self.plan is None:
            labels, maps = self.crop_labels.group_with_features(batch)
        elif self.plan.is_whole(batch.rows, self.view.stream(batch.epoch)):
            labels, maps = self.crop_labels.groups_with_features(batch)
        else:
            labels = self._planned_labels(batch, self.plan)
            maps = self.crop_labels.group_with_features(batch)[1]
        return self._hardened(labels), maps

    def _hardened(self, labels: Targets) -> Targets:
        """The labels, or one-hot ones of their top classes where the options say so."""
        if self.part.hard:
            return F.one_hot(_top_class(labels), self.classes).float()
        return labels

    def _crop_labels(self, batch: Batch) -> Float32[Tensor, "B {self.classes}"]:
        # A label that depends on the batch is made in its planned BN group, or it would change
        # with the batch size. Without `order_seed`, training's batches are whole groups.
        if self.plan is None:
            return self.crop_labels.of_group(batch)
        if self.plan.is_whole(batch.rows, self.view.stream(batch.epoch)):
            return self.crop_labels.of_groups(batch)
        return self._planned_labels(batch, self.plan)

    def _planned_labels(self, batch: Batch, plan: GroupPlan) -> Float32[Tensor, "B {self.classes}"]:
        """Labels for a batch that cuts across BN groups: render and label the groups it touches."""
        stream, device = self.view.stream(batch.epoch), batch.images.device
        if stream != self._stream:
            rows = int(self.rows.max()) + 1
            self._labels = torch.zeros(0)  # let the last stream's go before there are two
            self._labels = torch.zeros((rows, self.classes), device=device)
            self._is_made, self._stream = np.zeros(rows, bool), stream
        missing = batch.rows[~self._is_made[batch.rows]]
        for number in np.unique(plan.group_of(missing, stream)).tolist():
            group = self.view.render(plan.rows_of(number, stream), stream)
            labels = self.crop_labels.of_group(group)
            # The last group is filled up with rows of the first, whose label is the first one's.
            belongs = np.flatnonzero(plan.group_of(group.rows, stream) == number)
            rows = group.rows[belongs]
            self._labels[to_device(rows, device)] = labels[to_device(belongs, device)]
            self._is_made[rows] = True
        return self._labels[to_device(batch.rows, device)]  # (rows, K) -> (B, K)

    @cached_property
    def _image_labels(self) -> Float32[Tensor, "rows {self.classes}"]:
        """One label per image, from its central crop, by manifest row: (rows, K), made once."""
        groups = list(self.crop_labels.plan.groups(0))
        labels = torch.zeros((int(self.rows.max()) + 1, self.classes), device=self.view.device)
        # Backwards, so that of two labels the first group's stands, as GroupPlan.groups promises.
        for rows in reversed(groups):
            batch = self.image_view.render(rows, 0)
            labels[torch.as_tensor(rows)] = self.crop_labels.of_group(batch)
        return labels

    @cached_property
    def _category_labels(self) -> Float32[Tensor, "{self.classes} {self.classes}"]:
        """Mean label of each given class's images, (K, K); zeros for a class without images."""
        given = torch.from_numpy(self.view.dataset.manifest.labels[self.rows]).to(self.view.device)
        # A product rather than index_add_, whose order of summation varies on accelerators.
        member = F.one_hot(given, self.classes).float()  # (N, K): images by class
        sums = member.T @ self._image_labels[torch.as_tensor(self.rows)]  # (K, N) (N, K) -> (K, K)
        return sums / member.sum(dim=0).clamp(min=1)[:, None]


def _top_class(labels: Targets) -> Int64[Tensor, " B"]:
    """Most likely class of each label, (B,) int64."""
    if isinstance(labels, SparseTargets):
        return labels.index.gather(1, labels.probability.argmax(dim=1, keepdim=True))[:, 0]
    return labels.argmax(dim=1)
