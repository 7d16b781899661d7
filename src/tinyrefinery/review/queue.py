"""Queues of images for human review: a JSON Lines file with a header and one line per image.

The header names the data source, so a queue can be reviewed without its run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic
from tinyrefinery.reading.json_text import parse_json_object, read_text

FORMAT = 1
REASONS = {
    "failed_test": "counts as an error in a failed data test",
    "label_suspect": "likely label error found during training",
    "disagreement": "network and refiner confidently predict different classes",
    "shortcut": "has the cue of another class",
    "random": "drawn at random to estimate the label error rate",
    "conflict": "reviewers disagree",
    "auto_label": "the predicted label is not confident enough to accept",
    "audit": "accepted auto-label, drawn at random for a check",
}
"""Reasons why an image is in a queue."""
_TELLS_PREDICTION = ("label_suspect", "disagreement", "auto_label", "audit")
"""Reasons whose `why` names a prediction."""


@dataclass(frozen=True)
class Item:
    """One image of a queue."""

    uid: str
    """SHA-256 of its bytes, hexadecimal."""
    file_name: str
    reason: str
    """A key of `REASONS`."""
    why: str
    """The reason in detail, for the reviewer."""
    score: float = 0.0
    """Importance among the images with the same reason: larger is more important."""
    given: str | None = None
    """Its label, or None."""
    split: str = ""
    suggest: str | None = None
    """The predicted class."""
    network: Mapping[str, float] = field(default_factory=dict)
    """The network's highest probabilities, by class."""
    refiner: Mapping[str, float] = field(default_factory=dict)
    """The refiner's."""
    aum: float | None = None
    """Area under the margin, in logits."""
    failed_tests: tuple[str, ...] = ()
    """Names of the failed data tests in which it counts as an error."""
    group: str | None = None
    """Its group of near duplicates, of which one is shown; None without duplicates."""
    also: tuple[str, ...] = ()
    """Further reasons that apply."""

    @property
    def is_test(self) -> bool:
        """Whether the image measures networks. Then a reviewer must not see their predictions."""
        return self.split == "test"

    def for_reviewer(self) -> "Item":
        """The item as a reviewer may see it: a test image comes without any prediction."""
        if not self.is_test:
            return self
        why = REASONS[self.reason] if self.reason in _TELLS_PREDICTION else self.why
        return replace(self, why=why, suggest=None, network={}, refiner={}, aum=None)


@dataclass(frozen=True)
class Queue:
    """Images for review."""

    name: str
    data: tuple[Mapping[str, Any], ...]
    """Data sources of the images, as in recipes."""
    classes: tuple[str, ...]
    channels: int
    size: tuple[int, int]
    """Height and width of the network's input in pixels."""
    items: tuple[Item, ...] = field(repr=False)
    resize: int | None = None
    """As in a recipe's `eval_crop`."""
    run: str = ""
    """The run that it was mined from, for display."""
    seed: int = 0
    """Seed of the random draws."""
    budget: int = 0
    """Largest number of images."""
    population: int = 0
    """Number of images that the reason `random` draws from. Near duplicates count once."""


def write_queue(path: Path, queue: Queue) -> None:
    """Write a queue as JSON Lines, in one step."""
    header = {name: value for name, value in asdict(queue).items() if name not in ("name", "items")}
    lines = [{"queue": queue.name, "format": FORMAT, **header}]
    lines += [_plain(item) for item in queue.items]
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    write_atomic(path, text)


def _plain(item: Item) -> dict[str, Any]:
    content = {name: value for name, value in asdict(item).items() if value not in (None, (), {})}
    return content | {"uid": f"sha256:{item.uid}", "given": item.given}


def read_queue(path: Path) -> Queue:
    """Read a queue.

    Raises:
        DataError: when the file can't be read. The message names the line.
    """
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{path}: empty file: write a queue with `tinyrefinery mine`")
    header = _object(lines[0], f"{path}, line 1")
    if header.get("format") != FORMAT or "queue" not in header:
        raise DataError(f"{path}, line 1: not a queue of this version: mine it again")
    items = [_item(line, f"{path}, line {n}") for n, line in enumerate(lines[1:], 2)]
    names = {field.name for field in fields(Queue)} - {"name", "items"}
    try:
        options = {name: value for name, value in header.items() if name in names}
        options |= {name: tuple(options[name]) for name in ("data", "classes", "size")}
        queue = Queue(name=str(header["queue"]), items=tuple(items), **options)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}, line 1: missing or wrong {error}: mine it again") from error
    if len({item.uid for item in items}) < len(items):
        raise DataError(f"{path}: two lines have the same image: mine the queue again")
    return queue


def _object(line: str, where: str) -> dict[str, Any]:
    return parse_json_object(line, where, "Mine the queue again.")


def _item(line: str, where: str) -> Item:
    content = _object(line, where)
    names = {field.name for field in fields(Item)}
    try:
        values = {name: value for name, value in content.items() if name in names}
        values |= {name: tuple(values[name]) for name in ("failed_tests", "also") if name in values}
        values["uid"] = str(content["uid"]).removeprefix("sha256:")
        item = Item(**values)
    except (KeyError, TypeError) as error:
        raise DataError(f"{where}: missing or wrong {error}: mine the queue again") from error
    if item.reason not in REASONS:
        raise DataError(f"{where}: no reason '{item.reason}'. Reasons: {', '.join(REASONS)}")
    return item


def top_classes(classes: Sequence[str], probabilities: Any, most: int = 2) -> dict[str, float]:
    """The most probable classes of one distribution (K,), rounded for display."""
    order = sorted(range(len(classes)), key=lambda k: -float(probabilities[k]))
    return {classes[k]: round(float(probabilities[k]), 4) for k in order[:most]}
