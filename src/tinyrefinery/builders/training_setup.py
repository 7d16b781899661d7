"""From a recipe to what a training is made of: loss, jitter, devices."""

import logging
import os
from importlib.util import find_spec

import torch
from lightning_fabric import Fabric

from tinyrefinery import losses
from tinyrefinery.errors import RecipeError
from tinyrefinery.labels.policy import LabelPolicy, RefinedLabels
from tinyrefinery.losses import Loss
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.launch import launched
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.training.in_step import SharedLabels
from tinyrefinery.training.jitter import CropJitter

# Its messages (which precision, how many devices) only repeat the recipe.
logging.getLogger("lightning_fabric").setLevel(logging.ERROR)


def loss(stage: Stage) -> Loss:
    """The stage's loss."""
    return losses.build(stage.loss)


def jitter(stage: Stage, policy: LabelPolicy) -> CropJitter | None:
    """What makes the stage's jittered crops; None: nothing does."""
    if stage.jitter is None:
        return None
    if isinstance(policy, SharedLabels):
        policy = policy.policy  # natural crops are shared, jittered ones are each network's own
    assert isinstance(policy, RefinedLabels)
    return CropJitter(stage.jitter, policy)


def fabric(engine: Engine) -> Fabric:
    """Devices and precision, not launched yet. A launcher decides the number of devices itself.

    Raises:
        RecipeError: when the device isn't there, or nothing started the other machines.
    """
    if engine.tensorboard and not find_spec("tensorboard"):
        raise RecipeError(
            "engine.tensorboard: the package tensorboard is missing; "
            "pip install 'tinyrefinery[tensorboard]'"
        )
    if engine.deterministic and engine.device != "cpu" and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
        torch.use_deterministic_algorithms(True, warn_only=True)
    started = launched()
    devices, nodes = (started or engine).devices, (started or engine).nodes
    if nodes > 1 and started is None and "NODE_RANK" not in os.environ:
        raise RecipeError(
            f"engine.nodes: {nodes} machines need a launcher. Start this command on each of them "
            f"by torchrun --nnodes {nodes} --nproc-per-node {devices}, by srun, or with NODE_RANK, "
            "MASTER_ADDR and MASTER_PORT set"
        )
    try:
        return Fabric(
            accelerator=engine.device,
            devices=devices,
            num_nodes=nodes,
            precision="bf16-mixed" if engine.precision == "bf16" else "32-true",
        )
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise RecipeError(
            f"engine: device '{engine.device}' x {devices} can't be used ({first}); write "
            "engine.device=auto or cpu"
        ) from error
