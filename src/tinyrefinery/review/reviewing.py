"""One reviewer's way through a queue: what is open and what was decided, all of it on disk."""

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
from tinyrefinery.review.agreement import agreements, assigned
from tinyrefinery.review.queue import Item, Queue
from tinyrefinery.review.slice_lists import check_slice

LONGEST_LOOK = 86_400  # seconds


@dataclass(frozen=True)
class Task:
    """An image to look at."""

    item: Item
    settles: bool = False
    """Whether reviewers disagree about it, so that the next word is the last."""


@dataclass
class Review:
    """A queue in the hands of one reviewer. All methods may be called from several threads."""

    queue: Queue
    path: Path
    """The file of decisions, which other reviewers may share."""
    reviewer: str
    slice: str = "fixed"
    """List that images join by key."""
    tasks: tuple[Task, ...] = ()
    own: list[tuple[int, Decision]] = field(default_factory=list, repr=False)
    """Task and decision, oldest first, undone ones left out."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def state(self) -> dict[str, Any]:
        """What the page has to know, JSON-ready."""
        with self._lock:
            return {
                "queue": self.queue.name,
                "reviewer": self.reviewer,
                "classes": list(self.queue.classes),
                "slice": self.slice,
                "items": [_shown(each) for each in self.tasks],
                "decided": {str(place): _word(each) for place, each in self.own},
            }

    def decide(self, content: Any) -> dict[str, Any]:
        """Keep a decision; it is on disk when this returns.

        Args:
            content: `index` of the task, `verdict`, `label` of a relabelling, `slice` (bool) and
                `seconds`, as JSON has them.

        Raises:
            DataError: when the task, the verdict or the class is unknown.
            StorageError: when it can't be written.
        """
        index, given = self._checked(content)
        with self._lock:
            made = replace(given, at=self._later())
            append_decisions(self.path, [made])
            self.own = [each for each in self.own if each[0] != index] + [(index, made)]
        return {"index": index, "word": _word(made)}

    def undo(self) -> dict[str, Any]:
        """Take back the newest own decision; `index` of its task, or null where there is none."""
        with self._lock:
            if not self.own:
                return {"index": None}
            index, last = self.own[-1]
            undo = Decision(last.uid, UNDO, self.reviewer, self._later(), of=last.at)
            append_decisions(self.path, [undo])
            self.own.pop()
            return {"index": index}

    def _later(self) -> str:
        """The time, but after all own decisions, whatever the clock does."""
        moment = datetime.fromisoformat(timestamp())
        if self.own:
            moment = max(moment, self.own[-1][1].when + timedelta(microseconds=1))
        return moment.isoformat(timespec="microseconds")

    def _checked(self, content: Any) -> tuple[int, Decision]:
        if not isinstance(content, dict):
            raise DataError("a decision is a JSON object")
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
            raise DataError("the image has no label that could be right; choose a class")
        joins = self._joins(content.get("slice", False), item)
        return index, Decision(
            uid=item.uid,
            verdict=verdict,
            by=self.reviewer,
            at=timestamp(),
            label=label if verdict == "relabel" else None,
            was=item.given,
            shares=_between(item) if verdict == "ambiguous" and not task.settles else (),
            slices=(self.slice,) if joins else (),
            queue=self.queue.name,
            reason=item.reason,
            seconds=_seconds(content.get("seconds", 0)),
            settles=task.settles,
            file_name=item.file_name,
        )

    def _joins(self, wanted: Any, item: Item) -> bool:
        if not isinstance(wanted, bool):
            raise DataError("'slice' is neither true nor false")
        if wanted and item.split == "train":
            raise DataError("an image of the training split can't become a test")
        return wanted


def _between(item: Item) -> tuple[tuple[str, float], ...]:
    """The two classes that a person was offered, evenly; none where it was one.

    In a disagreement the reviewers' own words say between which classes, and better.
    """
    if item.given is None or item.suggest in (None, item.given):
        return ()
    return (item.given, 0.5), (str(item.suggest), 0.5)


def _seconds(value: Any) -> float:
    """How long a look took.

    Raises:
        DataError: when it is no time.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError("'seconds' is no number")
    if not 0 <= value <= LONGEST_LOOK:
        raise DataError("'seconds' is no time that a look takes")
    return round(float(value), 2)


def _shown(task: Task) -> dict[str, Any]:
    item = task.item
    content = {name: value for name, value in asdict(item).items() if name not in ("uid", "group")}
    return content | {"settles": task.settles, "trains": item.split == "train"}


def _word(each: Decision) -> str:
    """A decision in a word."""
    label = f" {each.label}" if each.verdict == "relabel" else ""
    return f"{each.verdict}{label}{' +' + each.slices[0] if each.slices else ''}"


def open_review(
    queue: Queue,
    path: Path,
    reviewer: str,
    *,
    reviewers: Sequence[str] = (),
    overlap: float = 0.1,
    slice_name: str = "fixed",
) -> Review:
    """A review where it was left: decisions that are in the file stand.

    Images about which reviewers disagree come again, at the end, to anyone; what is said of them
    then is the last word.

    Args:
        queue: what to look at.
        path: of the decisions.
        reviewer: who looks.
        reviewers: everyone among whom the queue is dealt; empty: it isn't.
        overlap: share of the images that all of them see.
        slice_name: list that images join by key.

    Raises:
        DataError: when the file is broken, or a name is none.
    """
    if not reviewer.strip() or any(ord(letter) < 32 for letter in reviewer):
        raise DataError("--reviewer needs a name, which decisions are kept under")
    said = read_decisions(path) if path.exists() else []
    torn = disagreements(said)
    mine = assigned(queue.items, reviewer, reviewers, overlap)
    tasks = [Task(each) for each in mine if each.uid not in torn]
    for item in queue.items:
        if item.uid in torn:
            words = "; ".join(f"{each.by}: {_word(each)}" for each in torn[item.uid])
            tasks.append(Task(replace(item, why=f"reviewers disagree. {words}"), settles=True))
    place = {task.item.uid: n for n, task in enumerate(tasks) if not task.settles}
    own: dict[int, Decision] = {}
    for each in valid_decisions(said):
        if each.by == reviewer and each.uid in place:
            own.pop(place[each.uid], None)  # so that the order is that of time
            own[place[each.uid]] = each
    name = check_slice(slice_name)
    return Review(queue, path, reviewer, name, tuple(tasks), list(own.items()))


def summary(path: Path, review: Review) -> list[str]:
    """How far the review is, and how far reviewers agree, in lines for people."""
    lines = [
        f"{path}: {len(review.own)} of {len(review.tasks)} images decided by {review.reviewer}"
    ]
    said = read_decisions(path) if path.exists() else []
    lines += [str(each) for each in agreements(said)]
    if torn := disagreements(said):
        lines.append(f"{len(torn)} images on which reviewers disagree: the same command shows them")
    return lines
