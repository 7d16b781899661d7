"""What the training of one network is made of."""

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
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.training import TrainingOptions
from tinyrefinery.training.dynamics import Dynamics
from tinyrefinery.training.feature_hints import HintedLabels
from tinyrefinery.training.jitter import CropJitter
from tinyrefinery.training.learning_rates import Schedule
from tinyrefinery.training.logs import Record
from tinyrefinery.training.stopping import EarlyStopping

Load = Callable[..., Iterator[Batch]]
"""As `data.batches.load`."""
Validate = Callable[[nn.Module], Record]
"""Network in training -> figures on the validation split, e.g. `validation_top1`."""
Hits = Callable[[Tensor, Targets, Tensor], Tensor]
"""Outputs, targets, labels -> how many crops of the batch are classified correctly, a scalar."""


def top1_hits(logits: Tensor, targets: Targets, labels: Tensor) -> Tensor:
    """Crops whose largest logit (B, K) is that of the given class (B,)."""
    return (logits.argmax(dim=1) == labels).sum()


@dataclass(frozen=True)
class Training:
    """Everything that the training of one network is made of."""

    network: nn.Module
    view: BatchSource
    rows: np.ndarray
    """Manifest rows to train on."""
    policy: LabelPolicy
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    options: TrainingOptions
    """Epochs, batch size and the like: a recipe's stage, or a detector's training."""
    engine: Engine
    fabric: Fabric
    validate: Validate
    folder: Path
    """Where the checkpoint and metrics are kept."""
    labelled: np.ndarray | None = None
    """(N,) bool, which manifest rows have a given label; None: all."""
    seed: int = 0
    """Of the noise in training, such as dropout."""
    order_seed: int | None = None
    """Of the order of samples; None: that of the crops, so that batches are whole BN groups."""
    workers: int = 0
    """Threads that prepare crops."""
    title: str = ""
    load: Load = load
    """Renders the batches of an epoch; trainings in step share one that renders for all."""
    dynamics: Dynamics | None = None
    """Records how each sample fares; None: nothing is recorded. Weights are the same either way."""
    jitter: CropJitter | None = None
    """Adds crops to each batch that depend on the network; None: natural crops only."""
    hints: HintedLabels | None = None
    """Draws the network's features to those of a refiner; its projection is in the optimizer too;
    None: the network learns from targets alone."""
    stop: EarlyStopping | None = None
    """When to end before the last epoch, and which weights to keep; None: all epochs, the last."""
    frozen: Sequence[nn.Module] = ()
    """Modules of the network that stay in evaluation mode, with the statistics they have."""
    hits: Hits = top1_hits
    """What `train_top1` counts."""
