"""Early stopping: a training ends when a validation figure stays where it is, and may go back.

It looks at the validation split only. What stops a training (`patience`, `min_delta`) and which
weights are kept (`restore_best`) are two questions: the second takes the best figure of all, also
where its lead is below `min_delta`.
"""

import logging
from math import isfinite
from typing import Any

from torch import Tensor, nn

from tinyrefinery.options.training import EarlyStop
from tinyrefinery.training.logs import Record

log = logging.getLogger("tinyrefinery")


class EarlyStopping:
    """When to end a training, and which weights to keep."""

    def __init__(self, part: EarlyStop) -> None:
        """Start with no evaluation seen."""
        self.part = part
        self.figures: dict[str, float] = {"waited": 0.0}
        """`waited`: evaluations since `reference` was reached; `best` figure and its `epoch`."""
        self.weights: dict[str, Tensor] | None = None
        """Those of the best evaluation, where they are to be restored."""

    def observe(self, record: Record, network: nn.Module) -> None:
        """Note an epoch's validation figure; `network` is what was evaluated."""
        part, figures = self.part, self.figures
        value = record[part.metric] * (1 if part.metric == "validation_top1" else -1)
        # Two questions: which weights are the best, and is training still getting anywhere?
        if isfinite(value) and ("best" not in figures or value > figures["best"]):
            figures["best"], figures["epoch"] = value, record["epoch"]
            if part.restore_best:
                state = network.state_dict()
                self.weights = {name: kept.detach().clone() for name, kept in state.items()}
        if isfinite(value) and (
            "reference" not in figures or value - part.min_delta > figures["reference"]
        ):
            figures["reference"], figures["waited"] = value, 0.0
        else:
            figures["waited"] += 1

    @property
    def is_over(self) -> bool:
        """Whether training is to end."""
        patience = self.part.patience
        return patience is not None and self.figures["waited"] >= patience

    def restore(self, network: nn.Module) -> None:
        """Give the network the weights to keep."""
        if self.weights is not None:
            network.load_state_dict(self.weights)

    def outcome(self, trained: int) -> dict[str, int]:
        """`epochs` that were trained, and `kept_epoch`, whose weights are kept, from 1."""
        part = self.part
        best = int(self.figures.get("epoch", trained)) if part.restore_best else trained
        log.info(f"{trained} epochs trained, weights of epoch {best} kept ({part.metric})")
        return {"epochs": trained, "kept_epoch": best}

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {"figures": self.figures, "weights": self.weights}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from what `state` gave."""
        self.figures, self.weights = dict(state["figures"]), state["weights"]
