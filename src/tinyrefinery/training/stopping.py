"""Early stopping: a training ends when a validation figure stays where it is, and may go back.

It looks at the validation split only. What stops a training (`patience`, `min_delta`) and which
weights are kept (`restore_best`) are two questions: the second takes the best figure of all, also
where its lead is below `min_delta`.
"""

import logging
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

from torch import Tensor, nn

from tinyrefinery.training.logs import Record

say = logging.getLogger("tinyrefinery").info


@dataclass
class EarlyStop:
    """When to end a training, and which weights to keep."""

    metric: Literal["validation_top1", "validation_loss"] = "validation_top1"
    """Higher is better for top-1 (0 to 1), lower for the loss (nats)."""
    patience: int | None = 10
    """Evaluations in a row without improvement after which to end; None: never."""
    min_delta: float = 0.0
    """An improvement must be greater, in the metric's unit, over the last one that counted."""
    restore_best: bool = True
    """End with the weights of the best evaluation, the first of equals, not with the last ones."""
    figures: dict[str, float] = field(default_factory=lambda: {"waited": 0.0})
    """What was seen: `waited` evaluations since `reference` was reached; `best` and its `epoch`."""
    weights: dict[str, Tensor] | None = None
    """Of the best evaluation, where they are to be restored."""

    def observe(self, record: Record, network: nn.Module) -> None:
        """Take in an epoch's validation figure; `network` is what was evaluated."""
        value = record[self.metric] * (1 if self.metric == "validation_top1" else -1)
        known = self.figures
        if isfinite(value) and ("best" not in known or value > known["best"]):
            known["best"], known["epoch"] = value, record["epoch"]
            if self.restore_best:
                state = network.state_dict()
                self.weights = {name: kept.detach().clone() for name, kept in state.items()}
        if isfinite(value) and (
            "reference" not in known or value - self.min_delta > known["reference"]
        ):
            known["reference"], known["waited"] = value, 0.0
        else:
            known["waited"] += 1

    @property
    def is_over(self) -> bool:
        """Whether training is to end."""
        return self.patience is not None and self.figures["waited"] >= self.patience

    def restore(self, network: nn.Module) -> None:
        """Give the network the weights to keep."""
        if self.weights is not None:
            network.load_state_dict(self.weights)

    def outcome(self, trained: int) -> dict[str, int]:
        """`epochs` that were trained, and `kept_epoch`, whose weights are kept, from 1."""
        best = int(self.figures.get("epoch", trained)) if self.restore_best else trained
        say(f"{trained} epochs trained, weights of epoch {best} kept ({self.metric})")
        return {"epochs": trained, "kept_epoch": best}

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {"figures": self.figures, "weights": self.weights}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.figures, self.weights = dict(state["figures"]), state["weights"]
