"""What a training shows while it runs: a bar where someone watches, else a line now and then."""

import logging
import os
import sys
import time

from tqdm.auto import tqdm

from tinyrefinery.training.logs import Record

log = logging.getLogger("tinyrefinery")

SECONDS_BETWEEN_LINES = 10.0
"""Without a terminal, at least so long passes between two lines of a training."""


class TrainingProgress:
    """Progress of one training: epoch, loss, accuracies, speed and time left."""

    def __init__(self, title: str, epochs: int, images: int, *, shown: bool) -> None:
        """Start the clock.

        Args:
            title: of the network in training.
            epochs: planned number of epochs.
            images: crops per epoch, over all processes.
            shown: whether this process reports; of several processes only the first does.
        """
        self.title, self.epochs, self.images, self.shown = title, epochs, images, shown
        self._bar: tqdm | None = None
        self._start = self._last_line = time.monotonic()
        self._first_epoch: int | None = None

    def advance(self, epoch: int, step: int, steps: int) -> None:
        """Note that `step` of the `steps` in an epoch (from 0) are done."""
        if self._first_epoch is None:
            self._first_epoch = epoch
        if not self.shown or not is_watched():
            return
        if self._bar is None:
            done = epoch * steps + step - 1
            self._bar = tqdm(desc=self.title, total=self.epochs * steps, initial=done, leave=False)
        self._bar.update(epoch * steps + step - self._bar.n)

    def close_epoch(self, record: Record) -> None:
        """Show an epoch's record: in the bar, or as a line if the last one is some time ago."""
        if not self.shown:
            return
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures(record))
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            left = duration(self._seconds_left(int(record["epoch"])))
            log.info(f"{self.title}: {self._figures(record)}, {left} left")

    def close(self, record: Record | None) -> None:
        """End the bar, and leave one line on the whole training."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self.shown and record is not None and self._first_epoch is not None:
            took = duration(time.monotonic() - self._start)
            log.info(f"{self.title}: {self._figures(record)}, took {took}")

    def _seconds_left(self, epoch: int) -> float:
        """By the mean time of the epochs that this process trained, validation included."""
        trained = epoch - (self._first_epoch or 0)
        return (time.monotonic() - self._start) / max(trained, 1) * (self.epochs - epoch)

    def _figures(self, record: Record) -> str:
        parts = [f"epoch {record['epoch']:.0f}/{self.epochs}", f"loss {record['train_loss']:.3g}"]
        if "validation_top1" in record:
            parts += [f"train crops {record['train_top1']:.1%}"]
            parts += [f"validation {record['validation_top1']:.1%}"]
        elif "validation_map11" in record:
            parts += [f"validation mAP {record['validation_map11']:.1%}"]
        return ", ".join([*parts, f"{self.images / max(record['seconds'], 1e-9):,.0f} images/s"])


def is_watched() -> bool:
    """Whether a bar can be drawn: stderr is a terminal, or this is a notebook."""
    if os.environ.get("TQDM_DISABLE"):
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def duration(seconds: float) -> str:
    """A time as people read it: 0:07, 12:30 or 1:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
