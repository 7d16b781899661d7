"""The label error rate, estimated on the randomly drawn images among those reviewed."""

from collections.abc import Iterable
from dataclasses import dataclass

from tinyrefinery.data.overlay.decisions import Decision, newest_by_image
from tinyrefinery.statistics.proportions import wilson


@dataclass(frozen=True)
class LabelError:
    """Wrong labels among the reviewed images with one reason."""

    wrong: int
    """Number of wrong labels."""
    n: int
    """Number of labels that were judged correct or wrong."""
    unclear: int
    """Number of images that were too hard, ambiguous or dropped."""
    low: float
    """Lower end of Wilson's interval of `share`."""
    high: float
    """Upper end."""

    @property
    def share(self) -> float:
        """Share of wrong labels."""
        return self.wrong / self.n

    def __str__(self) -> str:
        unclear = f", {self.unclear} more unclear" if self.unclear else ""
        return (
            f"{self.share:.1%} (95% interval {self.low:.1%} to {self.high:.1%}, n = {self.n}"
            f"{unclear})"
        )


def label_error(
    decisions: Iterable[Decision], reason: str = "random", confidence: float = 0.95
) -> LabelError | None:
    """Measure the share of wrong labels among the reviewed images with a reason.

    Only randomly drawn images represent all other images. Images with other reasons were selected
    because something is likely to be wrong with them.

    Args:
        decisions: all decisions. The newest per image counts.
        reason: the reason in the queue.
        confidence: confidence of the interval.

    Returns:
        The error rate, or None if no such image was judged correct or wrong.
    """
    reviewed = [
        decision for decision in newest_by_image(decisions).values() if decision.reason == reason
    ]
    judged = [decision for decision in reviewed if decision.verdict in ("ok", "relabel")]
    if not judged:
        return None
    wrong = sum(d.verdict == "relabel" and d.label != d.was for d in judged)
    low, high = wilson(wrong, len(judged), confidence)
    return LabelError(wrong, len(judged), len(reviewed) - len(judged), low, high)
