"""Recipes that `fit` trains: of candidates, of the refiner, and of the network that ships."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinyrefinery.fitting.look import Look
from tinyrefinery.fitting.packed_space import MODEL as BINARY
from tinyrefinery.fitting.search_space import MEAN, STD, Candidate
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.schema import Recipe

NETWORK, REFINER = "network", "refiner"
"""Ids of stages."""
_ADAMW = {"name": "adamw", "lr": 2e-3, "weight_decay": 0.02}
"""Of binary networks, as in the recipe `binary/cifar10_small`."""
_RATES = {32: 0.05, 64: 0.1, 128: 0.1}
"""Learning rate of SGD by batch size; as in the starter recipes."""
POOL = 40  # epochs of crops that are labeled; longer trainings repeat them
_WARMUP = 0.05  # share of the epochs


@dataclass(frozen=True)
class Variant:
    """How crops vary. The usual one, or one that was better on the validation pictures."""

    name: str = "usual"
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the recipe's `data`, with dots: `train_crop.area`."""


USUAL = Variant()
VARIANTS = (
    Variant("no mirrored crops", {"flip": 0.0}),
    Variant("smaller crops", {"train_crop.area": [0.15, 1.0]}),
    Variant("larger crops", {"train_crop.area": [0.6, 1.0]}),
    Variant("color changes", {"color": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}}),
    Variant("rotated crops", {"rotate": 12}),
    Variant("RandAugment", {"rand_augment": {"operations": 1, "magnitude": 9}}),
    Variant("mixed crops", {"mix": {"mixup": 0.2}}),
)
"""Tried on the best candidate, one at a time."""


@dataclass(frozen=True)
class Plan:
    """What all recipes of a search have in common."""

    source: Mapping[str, Any]
    """The recipe's `data.source`."""
    look: Look
    seed: int
    variants: tuple[Variant, ...] = ()
    """Changes that were kept."""

    def of_candidate(
        self, candidate: Candidate, epochs: int, *, labels: Mapping[str, Any] | None = None
    ) -> Recipe:
        """The recipe that trains a candidate.

        Args:
            candidate: the network.
            epochs: passes over the training pictures.
            labels: the recipe's labels; None: the given ones.
        """
        stage = {
            "id": NETWORK,
            "model": {"name": candidate.model, "kwargs": candidate.kwargs},
            **self._training(epochs),
        }
        if candidate.model == BINARY:
            stage["optimizer"] = dict(_ADAMW)
        if labels is not None:
            stage |= {"labels": dict(labels), "crop_pool": min(POOL, epochs)}
        return self._recipe(f"{candidate.name} on {self._name}", candidate.size, stage)

    def of_refiner(
        self,
        model: Mapping[str, Any],
        size: tuple[int, int],
        epochs: int,
        *,
        normalization: Mapping[str, Any] | None = None,
        start: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """The recipe that trains a refiner.

        Args:
            model: the recipe's `model`.
            size: height and width of its crops in pixels.
            epochs: passes over the training pictures.
            normalization: `mean` and `std`, if not those of the candidates.
            start: of a network that is fine-tuned, what makes it one, e.g. `replace_head`.
        """
        stage = {"id": REFINER, "model": dict(model), **self._training(epochs)}
        if start is not None:
            stage |= dict(start)
            stage["optimizer"] = stage["optimizer"] | {"lr": 0.01, "weight_decay": 1e-4}
        recipe = self._recipe(f"The refiner, on {self._name}", size, stage, normalization)
        return recipe

    @property
    def _name(self) -> str:
        return str(self.source.get("root") or self.source.get("path") or self.source["name"])

    def _training(self, epochs: int) -> dict[str, Any]:
        batch = self.look.batch
        return {
            "optimizer": {
                **{"name": "sgd", "lr": _RATES[batch], "momentum": 0.9, "nesterov": True},
                **{"weight_decay": 5e-4},
            },
            "schedule": {"name": "cosine", "warmup": round(_WARMUP * epochs, 2)},
            **{"epochs": epochs, "batch_size": batch, "evaluate_every": max(1, epochs // 4)},
        }

    def _recipe(
        self,
        title: str,
        size: tuple[int, int],
        stage: Mapping[str, Any],
        normalization: Mapping[str, Any] | None = None,
    ) -> Recipe:
        height, width = size
        ratio = width / height
        channels = self.look.channels
        usual = {"mean": [round(MEAN, 6)] * channels, "std": [STD] * channels}
        data: dict[str, Any] = {
            "source": dict(self.source),
            "train_crop": {
                **{"name": "inception", "size": list(size), "area": [0.35, 1.0]},
                "aspect": [round(ratio * 3 / 4, 4), round(ratio * 4 / 3, 4)],
            },
            "eval_crop": {"name": "center", "size": list(size)},
            "flip": 0.5,
            **(normalization or usual),
        }
        for variant in self.variants:
            for name, value in variant.changes.items():
                part, _, field_name = name.rpartition(".")
                (data[part] if part else data)[field_name] = value
        raw = {"title": title, "seed": self.seed, "data": data, "stages": [dict(stage)]}
        return check(raw, Recipe, source="fit")


def refined(by: str, store: str) -> dict[str, Any]:
    """The recipe's `labels` of a student.

    Args:
        by: its refiner, as recipes name it.
        store: folder of label stores.
    """
    return {"name": "refined", "by": by, "level": "crop", "store": {"path": store}}
