"""Labels of crops, made by a refiner in whole BN groups: a pure function of (epoch, row)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data.batches import Batch, Size, View, load
from tinyrefinery.errors import CheckpointError
from tinyrefinery.labels.batch_norm import SMALLEST_GROUP, GroupPlan, check_mixed
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.losses.targets import Targets

PIXELS_AT_ONCE = 512 * 32 * 32  # of crops: beyond it rendering gets no cheaper


@dataclass(frozen=True)
class KeptProbability:
    """What a refiner with other classes leaves to the mapped ones, measured on some crops."""

    network: int
    """Number of the network in the refiner, from 0."""
    mean: float
    """Mean probability, 0 to 1, that is left to the mapped classes."""
    fallback: float
    """Share of the crops that keep their given label."""
    crops: int
    """How many were looked at."""
    unreached: tuple[str, ...]
    """Classes of the data that the network can't predict."""


class CropLabels:
    """A refiner's labels of the training crops of a view."""

    def __init__(
        self,
        refiner: Refiner,
        view: View,
        rows: np.ndarray,
        *,
        group: int,
        given: Callable[[Batch], Targets] | None = None,
    ) -> None:
        """Plan the labeling of samples `rows`.

        Args:
            refiner: the frozen networks.
            view: the training crops; the BN groups follow its seed.
            rows: the training samples, which make up the BN groups.
            group: crops that are labeled together; it matters where the refiner has batch
                normalization in "batch" mode.
            given: the given labels of crops, (B, K), which take the place of those of a refiner
                with other classes where it can't label a crop; None: no label is replaced.
        """
        self.refiner, self.rows = refiner, rows
        self._given_policy = given if refiner.needs_given_labels else None
        self.view = replace(view, sizes=refiner.sizes)  # each network gets crops at its own size
        self.classes = len(view.dataset.classes)
        least = SMALLEST_GROUP if refiner.depends_on_batch else 1
        self.plan = GroupPlan(rows, group=group, seed=view.seed, smallest=least)
        given_classes = self._given(rows)
        counts = np.bincount(given_classes[given_classes >= 0], minlength=self.classes)
        self._shares = counts / max(counts.sum(), 1)

    @property
    def replaces_labels(self) -> bool:
        """Whether given labels take the place of some refined ones."""
        return self._given_policy is not None

    def _given_labels(self, batch: Batch) -> Tensor:
        assert self._given_policy is not None
        labels = self._given_policy(batch)
        assert isinstance(labels, Tensor)
        return labels

    def of_group(self, batch: Batch) -> Tensor:
        """Labels of crops that are a BN group, (B, K) float32.

        Raises:
            CheckpointError: when the refiner has other classes than the data.
            DataError: when the group can't give sound labels (`check_mixed`).
        """
        return self._checked(self.refiner(*self._input(batch)))

    def group_with_features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same labels, and the refiner's last feature maps of the crops, (B, C, h, w) float32.

        The refiner must be one network that gives features.
        """
        labels, maps = self.refiner.with_features(*self._input(batch))
        return self._checked(labels), maps

    def _input(self, batch: Batch) -> tuple[Tensor, dict[Size, Tensor], Tensor | None]:
        """What the refiner takes of a BN group.

        Raises:
            DataError: see `of_group`.
        """
        if self.refiner.depends_on_batch:
            check_mixed(batch.rows, self._given(batch.rows), self._shares)
        given = self._given_labels(batch) if self.replaces_labels else None
        return batch.images, self._at(batch), given

    def _checked(self, labels: Tensor) -> Tensor:
        """The labels, (B, K).

        Raises:
            CheckpointError: see `of_group`.
        """
        if labels.shape[1] != self.classes:
            raise CheckpointError(
                f"refiner: it has {labels.shape[1]} classes, but dataset "
                f"'{self.view.dataset.name}' has {self.classes}; train a refiner on this data first"
            )
        return labels

    def kept_probability(self, crops: int = 512) -> list[KeptProbability]:
        """What each network with other classes leaves to the mapped ones, on crops of stream 0.

        Args:
            crops: how many crops to look at, in whole BN groups; 512 is our choice.
        """
        mapped = [number for number, one in enumerate(self.refiner.maps) if one is not None]
        if not mapped or not self.replaces_labels:
            return []
        groups = self.plan.groups(0)[: -(-crops // self.plan.group)]
        found: dict[int, list[tuple[Tensor, Tensor]]] = {number: [] for number in mapped}
        for rows in groups:
            batch = self.view.render(rows, 0)
            given = self._given_labels(batch)
            for number in mapped:
                class_map = self.refiner.maps[number]
                assert class_map is not None
                with torch.inference_mode():
                    predicted = self.refiner.probabilities(number, batch.images, batch.at)
                mass = class_map.kept(predicted)
                found[number].append((mass, class_map.falls_back(mass, given)))
        return [self._kept(number, parts) for number, parts in found.items()]

    def _kept(self, number: int, parts: list[tuple[Tensor, Tensor]]) -> KeptProbability:
        class_map = self.refiner.maps[number]
        assert class_map is not None
        mass, replaced = (torch.cat(column) for column in zip(*parts, strict=True))
        names = self.view.dataset.classes
        unreached = tuple(names[target] for target in class_map.unreached)
        share = float(replaced.float().mean())
        return KeptProbability(number, float(mass.mean()), share, len(mass), unreached)

    def _at(self, batch: Batch) -> dict[Size, Tensor]:
        """The batch's crops at the refiner's sizes: rendered here if its view did not."""
        if set(batch.at) >= set(self.refiner.sizes):
            return batch.at
        return self.view.render(batch.rows, batch.epoch, batch.crops).at

    def of_groups(self, batch: Batch) -> Tensor:
        """Labels of crops that are whole BN groups, one after the other, (B, K) float32."""
        return torch.cat([self.of_group(group) for group in self._parts(batch)])

    def groups_with_features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same labels, and the refiner's feature maps, see `group_with_features`."""
        found = [self.group_with_features(group) for group in self._parts(batch)]
        labels, maps = (torch.cat(column) for column in zip(*found, strict=True))
        return labels, maps

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        size = self.plan.group
        for start in range(0, len(batch.rows), size):
            yield batch.subset(slice(start, start + size))

    def of_stream(self, stream: int, *, workers: int = 0) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Rows (B,) and labels (B, K) of the groups of a stream's crops, each row once."""
        seen = 0
        fresh_crops = replace(self.view, pool=None)  # those of the stream itself, in a pool or not
        groups, together = self.plan.groups(stream), self._groups_at_once()
        runs = [groups[i : i + together].ravel() for i in range(0, len(groups), together)]
        for batch in load(fresh_crops, runs, stream, workers=workers):
            labels = self.of_groups(batch)
            fresh = min(len(batch.rows), len(self.rows) - seen)  # the tail is filled from the head
            seen += fresh
            yield batch.rows[:fresh], labels[:fresh]

    def _groups_at_once(self) -> int:
        """BN groups whose crops are rendered in one go: several of small ones, which is cheaper."""
        height, width = max((self.view.crop.size, *self.view.sizes), key=prod)
        crops = PIXELS_AT_ONCE // (height * width)
        return max(1, crops // self.plan.group)

    def _given(self, rows: np.ndarray) -> np.ndarray:
        return self.view.dataset.manifest.labels[rows]
