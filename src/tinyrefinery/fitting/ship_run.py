"""From a trained chain to what ships: its best network that fits, and what refining did for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tinyrefinery import builders
from tinyrefinery.errors import BudgetError
from tinyrefinery.fitting.delivered import Delivered
from tinyrefinery.fitting.look import look_at
from tinyrefinery.fitting.shipping import ship
from tinyrefinery.networks.opening import of_stage
from tinyrefinery.options.budget import Budget
from tinyrefinery.pages.run_tables import Comparison, StageGroup, comparisons, group_stages
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.run_folder import Run, TrainedStage

ARTIFACTS = "artifacts"
"""Folder of the artifacts in the run folder."""


@dataclass(frozen=True, kw_only=True)
class ShippedRun(Delivered):
    """The best network of a run, and the networks that it was chosen from."""

    stage: TrainedStage = field(repr=False)
    """Of the network."""
    groups: tuple[StageGroup, ...] = field(repr=False)
    """All networks of the run, over their seeds."""

    @property
    def gains(self) -> list[Comparison]:
        """What refining changed, in held-out accuracy."""
        return comparisons(self.groups)


def ship_run(
    run: Run, limits: Budget, target: tuple[str, str], say: Callable[[str], object]
) -> ShippedRun:
    """Quantize and prove the best network of a finished run, and measure it on the test pictures.

    Args:
        run: the run. The artifacts are written into its folder.
        limits: what the network may cost.
        target: a format, and why it is not LiteRT (`shipping.usable_target`).
        say: called with progress messages.

    Raises:
        RefineryError: if no network fits, or the artifact predicts something else.
    """
    stage = best_within(run, limits)
    network = of_stage(run, stage)
    data = builders.training_dataset(load_recipe(stage.recipe).data)
    say(f"{network.name} ships: the best on the validation pictures of those that fit")
    height, width = network.info.size
    # Without fine-tuning: the drop is reported, and a demo is short.
    shipped = ship(network, data, target[0], limits, run.path / ARTIFACTS, say, tune=0)
    missing = [f"only an ONNX artifact is written, since {target[1]}"] if target[1] else []
    return ShippedRun(
        folder=run.path,
        look=look_at(data),
        limits=limits.limits,
        network=network,
        architecture=f"{network.name}: {stage.model}, {height}×{width} pixels",
        epochs=len(stage.metrics),
        shipped=shipped,
        notes=(*missing, *shipped.notes),
        data=data,
        name=run.name,
        stage=stage,
        groups=tuple(group_stages([run])),
    )


def best_within(run: Run, limits: Budget) -> TrainedStage:
    """The network with the highest accuracy on the validation pictures, of those that may fit.

    An int8 file has a byte for each parameter at least, so what has more than the limit is left
    out before anything is converted.

    Raises:
        BudgetError: if no network may fit.
    """
    fitting = [stage for stage in run.stages if _may_fit(stage, limits)]
    if not fitting:
        raise BudgetError(
            f"{run.path}: no network may fit {', '.join(_limits(limits))}. Raise a limit, or train "
            "a smaller network"
        )
    return max(fitting, key=lambda stage: float(stage.evaluation["validation"]["top1"]))


def _may_fit(stage: TrainedStage, limits: Budget) -> bool:
    cost = stage.evaluation["cost"]
    most = {"parameters": limits.flash, "macs": limits.macs}
    return all(limit is None or cost[name] <= limit for name, limit in most.items())


def _limits(limits: Budget) -> Sequence[str]:
    return [f"{name} {value:,}" for name, value in limits.limits.items()]
