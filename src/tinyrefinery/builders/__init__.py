"""From a recipe to objects: the one package that knows both sides."""

from tinyrefinery.builders.data import (
    dataset,
    eval_spec,
    eval_view,
    stage_seed,
    train_spec,
    train_view,
    workers,
)
from tinyrefinery.builders.labels import (
    describe_labels,
    label_form,
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
from tinyrefinery.builders.starts import RECIPE, check_start, started
from tinyrefinery.builders.training import fabric, jitter, loss, optimizer, schedule, settings, stop

__all__ = [
    "RECIPE",
    "FrozenNetwork",
    "check_start",
    "dataset",
    "describe",
    "describe_labels",
    "eval_spec",
    "eval_view",
    "fabric",
    "head",
    "jitter",
    "label_form",
    "loss",
    "network",
    "optimizer",
    "policy",
    "refiner",
    "schedule",
    "settings",
    "skeleton",
    "stage_seed",
    "started",
    "stop",
    "stored_labels",
    "taxonomy",
    "train_spec",
    "train_view",
    "workers",
]
