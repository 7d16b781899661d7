"""Where and how the computing is done."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from tinyrefinery.options.part import Part


class Engine(Part):
    """Where and how the computing is done.

    Results differ by rounding only. With several processes, dropout also draws other numbers, and
    other crops of a batch are jittered.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: the accelerator where there is one."""
    devices: PositiveInt = 1
    """Processes on each machine, one per device."""
    nodes: Annotated[PositiveInt, Field(exclude_if=lambda nodes: nodes == 1)] = 1
    """Machines, each with the same files at the same place. `torchrun` and `srun` decide devices
    and nodes themselves."""
    precision: Literal["auto", "32", "bf16"] = "32"
    """bf16: matrix products in bfloat16, weights in 32 bits. auto: the faster of the two for the
    recipe's networks, measured when a run begins and kept with it; 32 in commands that only
    measure."""
    channels_last: bool = True
    """Memory layout of weights and crops; faster for most convolutions."""
    compile: bool = False
    """Compile the networks first, which takes half a minute or more. On CPUs it gained nothing with
    ResNet8."""
    threads: PositiveInt | None = None
    """CPU threads; null: PyTorch's choice."""
    checkpoint_every_epochs: PositiveInt = 1
    """Epochs between two checkpoints from which an interrupted run resumes."""
    checkpoint_every_steps: PositiveInt | None = None
    """Steps between two checkpoints within an epoch, for epochs that take hours; null: none."""
    deterministic: bool = True
    """On accelerators, choose the algorithms that give equal bits each time; slower."""
    tensorboard: bool = False
    """Write logs for TensorBoard too; needs the extra `tensorboard`."""

    @property
    def processes(self) -> int:
        """All processes that share a batch."""
        return self.devices * self.nodes

    @model_validator(mode="before")
    @classmethod
    def _number_of_bits(cls, engine: Any) -> Any:
        if isinstance(engine, dict) and type(engine.get("precision")) is int:
            return {**engine, "precision": str(engine["precision"])}
        return engine
