"""From a recipe to what a training is made of: loss, optimizer, schedule, settings, devices."""

import logging
import os
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from tinyrefinery import losses
from tinyrefinery.builders.data import stage_seed, workers
from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.transforms import normalize_
from tinyrefinery.errors import RecipeError
from tinyrefinery.labels.policy import LabelPolicy, Refined
from tinyrefinery.losses import Loss
from tinyrefinery.recipe.optimization import Optimizer, Schedule
from tinyrefinery.recipe.schema import Engine, Recipe
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.training import optimizers, schedules
from tinyrefinery.training.in_step import SharedLabels
from tinyrefinery.training.jitter import Jitter
from tinyrefinery.training.job import Settings
from tinyrefinery.training.optimizers import parameter_groups
from tinyrefinery.training.stopping import EarlyStop

# What it has to say (which precision, how many devices) stands in the recipe.
logging.getLogger("lightning_fabric").setLevel(logging.ERROR)


def loss(stage: Stage) -> Loss:
    """The stage's loss."""
    return losses.create(stage.loss.name, **stage.loss.model_dump(exclude={"name"}))


class Trains(Protocol):
    """What optimizer and schedule need to know: a stage, or a detector's training."""

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer."""
        ...

    @property
    def schedule(self) -> Schedule:
        """The learning rate over time."""
        ...

    @property
    def epochs(self) -> int:
        """Passes over the data."""
        ...


def optimizer(stage: Trains, net: nn.Module, head: Collection[str] = ()) -> torch.optim.Optimizer:
    """The optimizer over the network's weights that are trained.

    Args:
        stage: a stage, or a detector's training.
        net: the network.
        head: names of the last layer's tensors, which `layer_decay` counts from.
    """
    part = stage.optimizer
    settings = part.model_dump(exclude={"name", "form", "layer_decay", "decay_norm_and_bias"})
    groups = parameter_groups(
        net,
        head,
        lr=part.lr,
        weight_decay=part.weight_decay,
        layer_decay=part.layer_decay,
        decay_norm_and_bias=part.decay_norm_and_bias,
    )
    in_tensorflow = part.name == "rmsprop" and part.form == "tensorflow"
    name = "rmsprop_tensorflow" if in_tensorflow else part.name
    return optimizers.create(name, groups, **settings)


def schedule(stage: Trains) -> schedules.Schedule:
    """The stage's learning-rate schedule."""
    part = stage.schedule
    options = part.model_dump(exclude={"name", "warmup", "warmup_start"})
    if part.name == "plateau":
        return schedules.Plateau(**part.model_dump(exclude={"name"}))
    if part.name in ("cosine", "one_cycle"):
        options["epochs"] = stage.epochs
    makers: Mapping[str, Callable[..., schedules.Schedule]] = {
        "constant": schedules.constant,
        "step": schedules.step,
        "cosine": schedules.cosine,
        "exponential": schedules.exponential,
        "one_cycle": schedules.one_cycle,
    }
    return schedules.with_warmup(makers[part.name](**options), part.warmup, part.warmup_start)


def stop(stage: Stage) -> EarlyStop | None:
    """When the stage ends before its last epoch; None: never."""
    return EarlyStop(**stage.stop.model_dump()) if stage.stop else None


def jitter(stage: Stage, policy: LabelPolicy, view: View) -> Jitter | None:
    """What makes the stage's jittered crops; None: nothing does."""
    if stage.jitter is None:
        return None
    if isinstance(policy, SharedLabels):
        policy = policy.policy  # natural crops are shared, jittered ones are each network's own
    assert isinstance(policy, Refined)
    options = stage.jitter.model_dump(exclude={"clamp"})
    return Jitter(policy, bounds=_bounds(view) if stage.jitter.clamp else None, **options)


def _bounds(view: View) -> tuple[Tensor, Tensor]:
    """Black and white as the view normalizes them, (1, C, 1, 1)."""
    channels = view.dataset.images.channels
    black, white = (
        normalize_(torch.full((1, channels, 1, 1), value, device=view.device), view.mean, view.std)
        for value in (0.0, 255.0)
    )
    return black, white


def settings(recipe: Recipe, stage: Stage, generation: int, data: Dataset) -> Settings:
    """How long and in what steps the stage trains."""
    engine = recipe.engine
    known = {each.id: each for each in recipe.generations}
    order = (known[stage.beside] if stage.beside else stage).seed  # those in step have one order
    apart = order is not None or recipe.data.crop_seed is not None
    return Settings(
        epochs=stage.epochs,
        batch_size=stage.batch_size,
        seed=stage_seed(recipe, "training", generation, stage.seed),
        order_seed=stage_seed(recipe, "order", generation, order) if apart else None,
        accumulate=stage.accumulate,
        clip_norm=stage.clip_norm,
        ema=stage.ema,
        workers=workers(recipe, data),
        evaluate_every=stage.evaluate_every,
        checkpoint_every_epochs=engine.checkpoint_every_epochs,
        checkpoint_every_steps=engine.checkpoint_every_steps,
        tensorboard=engine.tensorboard,
        channels_last=engine.channels_last,
    )


def fabric(engine: Engine) -> Fabric:
    """Devices and precision, not launched yet.

    Raises:
        RecipeError: when the device isn't there.
    """
    if engine.tensorboard and not find_spec("tensorboard"):
        raise RecipeError(
            "engine.tensorboard: the package tensorboard is missing; "
            "pip install 'tinyrefinery[tensorboard]'"
        )
    if engine.deterministic and engine.device != "cpu" and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        return Fabric(
            accelerator=engine.device,
            devices=engine.devices,
            precision="bf16-mixed" if engine.precision == "bf16" else "32-true",
        )
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise RecipeError(
            f"engine: device '{engine.device}' x {engine.devices} can't be used ({first}); write "
            "engine.device=auto or cpu"
        ) from error
