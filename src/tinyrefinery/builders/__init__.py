"""From a recipe to objects: the one package that imports both sides."""

from tinyrefinery.builders.datasets import (
    dataset,
    eval_view,
    order_seed,
    stage_seed,
    train_view,
    training_dataset,
    workers,
)
from tinyrefinery.builders.initial_weights import RECIPE, check_start, initial_network, rounded
from tinyrefinery.builders.label_policies import (
    crop_labels,
    describe_labels,
    label_form,
    own_size,
    policy,
    refiner,
    stored_labels,
    taxonomy,
)
from tinyrefinery.builders.networks import (
    FrozenNetwork,
    describe,
    head,
    network,
    skeleton,
)
from tinyrefinery.builders.stage_hints import feature_channels
from tinyrefinery.builders.training_setup import fabric, jitter, loss

__all__ = [
    "RECIPE",
    "FrozenNetwork",
    "check_start",
    "crop_labels",
    "dataset",
    "describe",
    "describe_labels",
    "eval_view",
    "fabric",
    "feature_channels",
    "head",
    "initial_network",
    "jitter",
    "label_form",
    "loss",
    "network",
    "order_seed",
    "own_size",
    "policy",
    "refiner",
    "rounded",
    "skeleton",
    "stage_seed",
    "stored_labels",
    "taxonomy",
    "train_view",
    "training_dataset",
    "workers",
]
