"""What a run's user asks first: how good is my network, where is it wrong, how large, where is it.

The network is the one that `tinyrefinery predict RUN` opens: the recipe's last stage at its lowest
seed. Where rows of a table have different networks of that stage, it is the row with the highest
validation accuracy. The test split takes no part in this choice.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.pages.numbers import kilo
from tinyrefinery.pages.run_tables import StageGroup, group_stages
from tinyrefinery.runs.run_folder import Run, TrainedStage, last_stage
from tinyrefinery.statistics.paired import Gain, paired_gain
from tinyrefinery.statistics.proportions import wilson_interval

_COSTS = (("parameters", "parameters"), ("macs", "MACs"), ("binary_macs", "of them binary"))
"""Costs of an evaluation, each with what follows its number."""


@dataclass(frozen=True)
class NetworkFacts:
    """The network of a run that its report is about."""

    run: Run = field(repr=False)
    group: StageGroup = field(repr=False)
    """Its stage over all seeds."""
    stage: TrainedStage = field(repr=False)
    """The lowest seed of it."""
    rows: int
    """Rows of a table among whose networks of this stage it was chosen; 1 without a table."""
    n: int
    """Held-out images."""
    top1: float
    """Accuracy of the lowest seed on them, in [0, 1]."""
    interval: tuple[float, float]
    """95 % interval of it over images (Wilson)."""
    over_seeds: Gain | None
    """Mean over seeds with its 95 % interval; None for one seed."""
    predictions: Predictions | None = field(repr=False)
    """Of the held-out images; None where the run has none."""

    @property
    def split(self) -> str:
        """The held-out split: test, or validation where some stage has no test images."""
        return self.group.held_out

    @property
    def accuracy(self) -> str:
        """The accuracy in one line, e.g. "87.3 % of 1,000 test images (95 % interval ...)"."""
        low, high = (100 * bound for bound in self.interval)
        return (
            f"{100 * self.top1:.1f} % of {self.n:,} {self.split} images are right "
            f"(95 % interval {low:.1f} to {high:.1f} %)"
        )

    @property
    def seeds(self) -> str:
        """The mean over seeds in one line; empty for one seed."""
        mean = self.over_seeds
        if mean is None or mean.low is None or mean.high is None:
            return ""
        return (
            f"Mean over {mean.n} seeds: {100 * mean.mean:.1f} % "
            f"(95 % interval {100 * mean.low:.1f} to {100 * mean.high:.1f} %)"
        )

    @property
    def size(self) -> str:
        """Parameters, MACs, how many of them are binary, and bytes on disk in one line."""
        cost = self.stage.evaluation.get("cost") or {}
        parts = [
            f"{kilo(cost[name])} {unit}" for name, unit in _COSTS if cost.get(name) is not None
        ]
        if self.stage.network.exists():
            parts.append(f"{self.stage.network.stat().st_size:,} bytes on disk")
        return ", ".join(parts)

    @property
    def commands(self) -> list[tuple[str, str]]:
        """What to do next: commands to paste, each with what it does."""
        run = shlex.quote(str(self.run.path))
        # A network that several rows share is opened by any of them.
        row = f" --row {shlex.quote(self.stage.rows[0])}" if self.rows > 1 else ""
        return [
            (f"tinyrefinery predict {run} photos/{row}", "Predict the classes of your pictures."),
            (
                f"tinyrefinery export {run} --to onnx --to litert{row}",
                "Export it for a device, checked against this network. --int8 makes it smaller.",
            ),
            ("tinyrefinery init", "Write data tests for it."),
            (f"tinyrefinery test {run}{row}", "Run them."),
            (f"tinyrefinery saliency {run}{row}", "Show which pixels drive its errors."),
            (f"tinyrefinery audit {run}{row}", "Check the data for leaks and label errors."),
            (f"tinyrefinery mine {run}{row}", "Select images for review."),
        ]


def network_facts(run: Run) -> NetworkFacts | None:
    """The network of a run and what was measured of it; None without a held-out image.

    Raises:
        DataError: when the run has no finished stage, or its predictions are damaged.
    """
    groups = group_stages([run])
    last = last_stage(run.stages)
    candidates = [group for group in groups if group.first.stage == last]
    group = max(candidates, key=_validation)
    stage = min(group.runs, key=lambda each: each.seed)
    measured = stage.evaluation.get(group.held_out)
    if not measured or not measured.get("n"):
        return None
    top1, n = float(measured["top1"]), int(measured["n"])
    path = stage.predictions(group.held_out)
    return NetworkFacts(
        run=run,
        group=group,
        stage=stage,
        rows=len(candidates),
        n=n,
        top1=top1,
        interval=wilson_interval(top1, n),
        over_seeds=_over_seeds(list(group.values("held_out_top1").values())),
        predictions=None if path is None else Predictions.load(path),
    )


def _validation(group: StageGroup) -> float:
    spread = group.spread("validation_top1")
    return -1.0 if spread is None else spread.mean


def _over_seeds(values: Sequence[float]) -> Gain | None:
    """Mean and t interval: the gain over zero."""
    return paired_gain(list(np.zeros(len(values))), list(values)) if len(values) > 1 else None
