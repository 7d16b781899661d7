"""How many labels are wrong, by the images that were looked at because chance had chosen them."""

from collections.abc import Iterable
from dataclasses import dataclass

from tinyrefinery.data.overlay.decisions import Decision, newest_by_image
from tinyrefinery.statistics.proportions import wilson

SETTLED = ("ok", "relabel")


@dataclass(frozen=True)
class LabelError:
    """Of the images with one reason."""

    wrong: int
    n: int
    """Images whose label a person found right or wrong."""
    unclear: int
    """Images that were too hard, ambiguous or dropped: neither right nor wrong."""
    low: float
    """Wilson's interval of the share that is wrong."""
    high: float

    @property
    def share(self) -> float:
        """Of the labels that are wrong."""
        return self.wrong / self.n

    def __str__(self) -> str:
        unclear = f"; {self.unclear} more are unclear" if self.unclear else ""
        return (
            f"{self.share:.1%} (95 % interval {self.low:.1%} to {self.high:.1%}, n = {self.n})"
            f"{unclear}"
        )


def label_error(
    decisions: Iterable[Decision], reason: str = "random", confidence: float = 0.95
) -> LabelError | None:
    """Share of wrong labels among the images with a reason; None where none was judged.

    Only of images drawn at random does it speak for the others; those with other reasons were
    chosen because something is likely to be wrong with them.

    Args:
        decisions: all; the newest of an image counts.
        reason: as the queue has it.
        confidence: of the interval.
    """
    judged = [each for each in newest_by_image(decisions).values() if each.reason == reason]
    settled = [each for each in judged if each.verdict in SETTLED]
    if not settled:
        return None
    wrong = sum(each.verdict == "relabel" and each.label != each.was for each in settled)
    low, high = wilson(wrong, len(settled), confidence)
    return LabelError(wrong, len(settled), len(judged) - len(settled), low, high)
