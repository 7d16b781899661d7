"""One reviewer's progress through a queue. Every decision is on disk at once."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

from tinyrefinery.data.overlay.decisions import (
    UNDO,
    VERDICTS,
    Decision,
    append_decisions,
    disagreements,
    read_decisions,
    timestamp,
    valid_decisions,
)
from tinyrefinery.errors import DataError
from tinyrefinery.review.agreement import agreements, assigned_items
from tinyrefinery.review.queue import Item, Queue
from tinyrefinery.review.slice_lists import check_slice

LONGEST_REVIEW = 86_400  # seconds per image


@dataclass(frozen=True)
class Task:
    """An image to review."""

    item: Item
    settles: bool = False
    """Whether reviewers disagree, so that the next decision is final."""


@dataclass
class Review:
    """The review of a queue by one reviewer. Thread-safe."""

    queue: Queue
    path: Path
    """The file of decisions. Several reviewers may share it."""
    reviewer: str
    slice: str = "fixed"
    """List to which the reviewer can add images."""
    tasks: tuple[Task, ...] = ()
    decided: list[tuple[int, Decision]] = field(default_factory=list, repr=False)
    """Place of the task and decision of this reviewer, oldest first, without undone ones."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def state(self) -> dict[str, Any]:
        """The state that the page shows, JSON-ready."""
        with self._lock:
            return {
                "queue": self.queue.name,
                "reviewer": self.reviewer,
                "classes": list(self.queue.classes),
                "slice": self.slice,
                "items": [_plain(task) for task in self.tasks],
                "file": str(self.path),
                "decided": {str(place): _word(decision) for place, decision in self.decided},
            }

    def decide(self, content: Any) -> dict[str, Any]:
        """Record a decision. It is on disk when this returns.

        Args:
            content: from JSON: `index` of the task, `verdict`, `label` if relabeled, `slice`
                (bool) and `seconds`.

        Raises:
            DataError: when the task, the verdict or the class is unknown.
            StorageError: when the file of decisions is not writable.
        """
        index, decision = self._parse(content)
        with self._lock:
            decision = replace(decision, at=self._next_time())
            append_decisions(self.path, [decision])
            others = [entry for entry in self.decided if entry[0] != index]
            self.decided = [*others, (index, decision)]
        return {"index": index, "word": _word(decision)}

    def undo(self) -> dict[str, Any]:
        """Undo the reviewer's newest decision.

        Returns:
            `index` of its task, or None if there is no decision.
        """
        with self._lock:
            if not self.decided:
                return {"index": None}
            index, last = self.decided[-1]
            undo = Decision(last.uid, UNDO, self.reviewer, self._next_time(), of=last.at)
            append_decisions(self.path, [undo])
            self.decided.pop()
            return {"index": index}

    def _next_time(self) -> str:
        """The current time, but later than all decisions, even if the clock was set back."""
        moment = datetime.fromisoformat(timestamp())
        if self.decided:
            moment = max(moment, self.decided[-1][1].when + timedelta(microseconds=1))
        return moment.isoformat(timespec="microseconds")

    def _parse(self, content: Any) -> tuple[int, Decision]:
        if not isinstance(content, dict):
            raise DataError("a decision must be a JSON object")
        index, verdict, label = (content.get(name) for name in ("index", "verdict", "label"))
        if type(index) is not int or not 0 <= index < len(self.tasks):
            raise DataError(f"no image has the number {str(index)[:40]}")
        if verdict not in VERDICTS:
            raise DataError(f"unknown verdict '{str(verdict)[:40]}'")
        if verdict == "relabel" and label not in self.queue.classes:
            raise DataError(f"no class '{str(label)[:40]}'")
        task = self.tasks[index]
        item = task.item
        if verdict == "relabel" and label == item.given:
            verdict = "ok"
        if verdict == "ok" and item.given is None:
            raise DataError("the image has no label: choose a class")
        return index, Decision(
            uid=item.uid,
            verdict=verdict,
            by=self.reviewer,
            at=timestamp(),
            label=label if verdict == "relabel" else None,
            was=item.given,
            shares=_even_shares(item) if verdict == "ambiguous" and not task.settles else (),
            slices=(self.slice,) if _add_to_slice(content, item) else (),
            queue=self.queue.name,
            reason=item.reason,
            seconds=_seconds(content.get("seconds", 0)),
            settles=task.settles,
            file_name=item.file_name,
        )


def _add_to_slice(content: dict[str, Any], item: Item) -> bool:
    add = content.get("slice", False)
    if not isinstance(add, bool):
        raise DataError("'slice' must be true or false")
    if add and item.split == "train":
        raise DataError("a training image can't become a test")
    return add


def _even_shares(item: Item) -> tuple[tuple[str, float], ...]:
    """Equal shares of label and suggested class, or none if they are the same or of a test image.

    Not used where reviewers disagree: there, their votes give better shares.
    """
    if item.is_test or item.given is None or item.suggest in (None, item.given):
        return ()
    return (item.given, 0.5), (str(item.suggest), 0.5)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError("'seconds' must be a number")
    if not 0 <= value <= LONGEST_REVIEW:
        raise DataError(f"'seconds' must be from 0 to {LONGEST_REVIEW}")
    return round(float(value), 2)


def _plain(task: Task) -> dict[str, Any]:
    item = task.item.for_reviewer()
    if task.settles:
        item = replace(item, why=task.item.why)  # what the reviewers decided
    content = {name: value for name, value in asdict(item).items() if name not in ("uid", "group")}
    return content | {
        "settles": task.settles,
        "trains": item.split == "train",
        "test": item.is_test,
    }


def _word(decision: Decision) -> str:
    """A decision in short, such as "relabel cat"."""
    label = f" {decision.label}" if decision.verdict == "relabel" else ""
    return f"{decision.verdict}{label}{' +' + decision.slices[0] if decision.slices else ''}"


def open_review(
    queue: Queue,
    path: Path,
    reviewer: str,
    *,
    reviewers: Sequence[str] = (),
    overlap: float = 0.1,
    slice_name: str = "fixed",
) -> Review:
    """Open a review, keeping the decisions that are already in the file.

    Images with conflicting decisions are shown again to any reviewer, after all others. The next
    decision on them is final.

    Args:
        queue: images to review.
        path: file of the decisions.
        reviewer: name of this reviewer.
        reviewers: names of all reviewers that divide the queue, or empty for a single one.
        overlap: share of the images that all reviewers get.
        slice_name: list to which the reviewer can add images.

    Raises:
        DataError: when the file is broken or a name is invalid.
    """
    if not reviewer.strip() or any(ord(letter) < 32 for letter in reviewer):
        raise DataError("--reviewer needs a name: decisions are recorded under it")
    decisions = read_decisions(path) if path.exists() else []
    disputed = disagreements(decisions)
    items = assigned_items(queue.items, reviewer, reviewers, overlap)
    tasks = [Task(item) for item in items if item.uid not in disputed]
    for item in queue.items:
        if item.uid in disputed:
            votes = "; ".join(f"{d.by}: {_word(d)}" for d in disputed[item.uid])
            tasks.append(Task(replace(item, why=f"reviewers disagree. {votes}"), settles=True))
    place = {task.item.uid: n for n, task in enumerate(tasks) if not task.settles}
    decided: dict[int, Decision] = {}
    for decision in valid_decisions(decisions):
        if decision.by == reviewer and decision.uid in place:
            decided.pop(place[decision.uid], None)  # keeps the dictionary in order of time
            decided[place[decision.uid]] = decision
    name = check_slice(slice_name)
    return Review(queue, path, reviewer, name, tuple(tasks), list(decided.items()))


def summary(path: Path, review: Review) -> list[str]:
    """Progress of the review and agreement of the reviewers, in lines for people."""
    count = f"{len(review.decided)} of {len(review.tasks)}"
    lines = [f"{path}: {count} images decided by {review.reviewer}"]
    decisions = read_decisions(path) if path.exists() else []
    lines += [str(agreement) for agreement in agreements(decisions)]
    if disputed := disagreements(decisions):
        lines.append(f"reviewers disagree on {len(disputed)} images: rerun to settle them")
    return lines
