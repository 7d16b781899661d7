"""Queues: images for a person to look at, each with the reason why; a header and a line an image.

The first line says which data the images are of; so a queue can be reviewed without its run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic

FORMAT = 1
REASONS = {
    "failed_test": "speaks against the network in a data test that fails",
    "label_suspect": "training never came to terms with its label",
    "disagreement": "network and refiner are sure of different classes",
    "shortcut": "has the cue of a class that it is not of",
    "random": "drawn at random, to estimate the share of wrong labels",
    "conflict": "reviewers disagree",
    "auto_label": "a network is not sure enough of its label",
    "audit": "its label was accepted from a network; drawn at random to check",
}
"""Why an image is in a queue."""


@dataclass(frozen=True)
class Item:
    """One image of a queue."""

    uid: str
    """SHA-256 of its bytes, hexadecimal."""
    file_name: str
    reason: str
    """A key of `REASONS`."""
    why: str
    """The reason in this case, in words."""
    score: float = 0.0
    """How much it matters for its reason: larger is more."""
    given: str | None = None
    """Its label; None where it has none."""
    split: str = ""
    suggest: str | None = None
    """The class that networks speak for."""
    network: Mapping[str, float] = field(default_factory=dict)
    """Probabilities of the network's first classes."""
    refiner: Mapping[str, float] = field(default_factory=dict)
    aum: float | None = None
    """Area under the margin, in logits."""
    failed_tests: tuple[str, ...] = ()
    group: str | None = None
    """Of near copies, of which one is shown; None where it is alone."""
    also: tuple[str, ...] = ()
    """Further reasons for which it was found."""


@dataclass(frozen=True)
class Queue:
    """Images to look at."""

    name: str
    data: tuple[Mapping[str, Any], ...]
    """Sources as in recipes that the images are of."""
    classes: tuple[str, ...]
    channels: int
    size: tuple[int, int]
    """Height and width of what the network sees, in pixels."""
    items: tuple[Item, ...] = field(repr=False)
    resize: int | None = None
    """As in a recipe's `eval_crop`."""
    run: str = ""
    """What it was made from, for people."""
    seed: int = 0
    budget: int = 0
    population: int = 0
    """Images that those with reason `random` were drawn from; of near copies one counts."""


def write_queue(path: Path, queue: Queue) -> None:
    """Write a queue as JSON lines, in one step."""
    header = {name: value for name, value in asdict(queue).items() if name not in ("name", "items")}
    lines = [{"queue": queue.name, "format": FORMAT, **header}]
    lines += [_plain(each) for each in queue.items]
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    write_atomic(path, text)


def _plain(item: Item) -> dict[str, Any]:
    content = {name: value for name, value in asdict(item).items() if value not in (None, (), {})}
    return content | {"uid": f"sha256:{item.uid}", "given": item.given}


def read_queue(path: Path) -> Queue:
    """Read what `write_queue` wrote.

    Raises:
        DataError: when it can't be read; the message names the line.
    """
    try:
        lines = [line for line in path.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read ({error})") from error
    if not lines:
        raise DataError(f"{path}: is empty; `tinyrefinery mine` writes queues")
    header = _object(lines[0], f"{path}, line 1")
    if header.get("format") != FORMAT or "queue" not in header:
        raise DataError(f"{path}, line 1: no queue of this version; mine it again")
    items = [_item(line, f"{path}, line {n}") for n, line in enumerate(lines[1:], 2)]
    known = {each.name for each in fields(Queue)} - {"name", "items"}
    try:
        options = {name: value for name, value in header.items() if name in known}
        options |= {name: tuple(options[name]) for name in ("data", "classes", "size")}
        queue = Queue(name=str(header["queue"]), items=tuple(items), **options)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}, line 1: lacks or misstates {error}; mine it again") from error
    if len({each.uid for each in items}) < len(items):
        raise DataError(f"{path}: an image stands there twice; mine it again")
    return queue


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: is no JSON ({error}); mine the queue again") from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: is no JSON object")
    return content


def _item(line: str, where: str) -> Item:
    content = _object(line, where)
    known = {each.name for each in fields(Item)}
    try:
        given = {name: value for name, value in content.items() if name in known}
        given |= {name: tuple(given[name]) for name in ("failed_tests", "also") if name in given}
        given["uid"] = str(content["uid"]).removeprefix("sha256:")
        item = Item(**given)
    except (KeyError, TypeError) as error:
        raise DataError(f"{where}: lacks or misstates {error}") from error
    if item.reason not in REASONS:
        raise DataError(f"{where}: unknown reason '{item.reason}' (known: {', '.join(REASONS)})")
    return item


def top_classes(classes: Sequence[str], probabilities: Any, most: int = 2) -> dict[str, float]:
    """The most probable classes of one distribution (K,), rounded for people."""
    order = sorted(range(len(classes)), key=lambda k: -float(probabilities[k]))
    return {classes[k]: round(float(probabilities[k]), 4) for k in order[:most]}
