"""What takes part in training one network."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from tinyrefinery.data.batches import Batch, BatchSource, load
from tinyrefinery.labels.policy import LabelPolicy
from tinyrefinery.losses import Loss
from tinyrefinery.losses.targets import Targets
from tinyrefinery.training.dynamics import Dynamics
from tinyrefinery.training.jitter import Jitter
from tinyrefinery.training.logs import Record
from tinyrefinery.training.schedules import Schedule
from tinyrefinery.training.stopping import EarlyStop

Load = Callable[..., Iterator[Batch]]
"""As `data.batches.load`."""
Validate = Callable[[nn.Module], Record]
"""Network in training -> figures on the validation split, e.g. `validation_top1`."""
Hits = Callable[[Tensor, Targets, Tensor], Tensor]
"""Outputs, targets, labels -> how many crops of the batch were got right, a scalar."""


@dataclass(frozen=True)
class Settings:
    """How long and in what steps to train."""

    epochs: int
    batch_size: int
    """Crops a step, over all processes."""
    seed: int = 0
    order_seed: int | None = None
    """Of the order of samples; None: that of the crops, so that batches are whole BN groups."""
    accumulate: int = 1
    """Steps whose gradients are added up before the optimizer moves."""
    clip_norm: float | None = None
    """Largest global norm of the gradient."""
    ema: float | None = None
    """Decay of the weights' moving average, which is then what is evaluated and kept."""
    workers: int = 0
    """Threads that prepare crops."""
    evaluate_every: int = 1
    """Epochs between two looks at the validation split."""
    checkpoint_every_epochs: int = 1
    checkpoint_every_steps: int | None = None
    """Further checkpoints within an epoch, for epochs that take hours."""
    tensorboard: bool = False
    channels_last: bool = True
    """Memory layout of crops; faster for convolutions on CPUs and on tensor cores."""


def top1_hits(logits: Tensor, targets: Targets, labels: Tensor) -> Tensor:
    """Crops whose largest logit (B, K) is that of the given class (B,)."""
    return (logits.argmax(dim=1) == labels).sum()


@dataclass(frozen=True)
class Training:
    """Everything that takes part in training one network."""

    network: nn.Module
    view: BatchSource
    rows: np.ndarray
    """Manifest rows to train on."""
    policy: LabelPolicy
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    settings: Settings
    fabric: Fabric
    validate: Validate
    folder: Path
    """Where state and metrics are kept."""
    title: str = ""
    load: Load = load
    """Renders the batches of an epoch; trainings in step share one that renders for all."""
    dynamics: Dynamics | None = None
    """What is to be recorded of each sample; None: nothing. Weights are the same either way."""
    jitter: Jitter | None = None
    """Adds crops to each batch that depend on the network; None: natural crops only."""
    stop: EarlyStop | None = None
    """When to end before the last epoch, and which weights to keep; None: all epochs, the last."""
    frozen: Sequence[nn.Module] = ()
    """Modules of the network that stay in evaluation mode, with the statistics they have."""
    hits: Hits = top1_hits
    """What `train_top1` counts."""
