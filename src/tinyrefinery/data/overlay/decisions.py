"""Human decisions about images: lines that are only ever added to a file, the newest counts.

One JSON object a line: `uid` (SHA-256 of the image's bytes, `sha256:` in front), `verdict`, `by`,
`at`, and what else is known. A line whose verdict is `undo` takes back the decision that its `of`
names by time. One whose verdict is `add` adds an image to the training images, see `additions`. So
a file may be merged with another line by line, in any order.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from tinyrefinery.errors import DataError, StorageError
from tinyrefinery.names import nearest

VERDICTS = ("ok", "relabel", "too_hard", "ambiguous", "drop", "skip")
UNDO, ADD = "undo", "add"
AUTO = "auto:"
"""Begins the source of a label that a network gave and nobody looked at."""
_UID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_TEXTS = ("label", "was", "by", "at", "queue", "reason", "of", "note", "file_name")
_KNOWN = ("uid", "verdict", "slices", "seconds", "settles", "shares", *_TEXTS)


@dataclass(frozen=True)
class Decision:
    """What a person said of one image."""

    uid: str
    """SHA-256 of the image's bytes, 64 hexadecimal digits."""
    verdict: str
    """One of `VERDICTS`, or `undo`, or `add`."""
    by: str
    """Who said so."""
    at: str
    """When, ISO 8601 with a time zone."""
    label: str | None = None
    """The class that a relabelled image shows; of an ambiguous one, the class it is more like."""
    was: str | None = None
    """The label that the person was shown."""
    shares: tuple[tuple[str, float], ...] = ()
    """Of an ambiguous image: the classes that it may show, with their weights; empty: not told."""
    slices: tuple[str, ...] = ()
    """Lists of images that it joins."""
    queue: str | None = None
    reason: str | None = None
    """Why it was in the queue, see `annotation.queue`."""
    seconds: float | None = None
    """How long the person looked."""
    settles: bool = False
    """Whether it ends a disagreement: what was said of the image before counts no more."""
    of: str | None = None
    """Of an `undo`: the time of the decision that it takes back."""
    note: str | None = None
    file_name: str | None = None
    line: int = 0
    """In its file, from 1; 0 before it was written."""

    @property
    def when(self) -> datetime:
        """The time, to compare with others."""
        return datetime.fromisoformat(self.at)

    @property
    def outcome(self) -> tuple[str, str | None]:
        """What two reviewers must agree on: the class that it leaves, else the verdict."""
        label = {"relabel": self.label, "ok": self.was}.get(self.verdict)
        return (self.verdict, None) if label is None else ("class", label)

    def as_json(self) -> str:
        """Its line, without the end of the line; equal decisions have equal lines."""
        content: dict[str, Any] = {"uid": f"sha256:{self.uid}", "verdict": self.verdict}
        for name in ("label", "was", "by", "at", "of", "queue", "reason", "file_name", "note"):
            if (value := getattr(self, name)) is not None:
                content[name] = value
        content |= {"shares": dict(self.shares)} if self.shares else {}
        content |= {"slices": list(self.slices)} if self.slices else {}
        content |= {"seconds": self.seconds} if self.seconds is not None else {}
        content |= {"settles": True} if self.settles else {}
        return json.dumps(content, ensure_ascii=False)


def now() -> str:
    """The present time as decisions have it; microseconds keep two of one person apart."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def decision(content: Any, where: str = "decision", line: int = 0) -> Decision:
    """A decision from plain data.

    Args:
        content: as JSON has it.
        where: file and line, for messages.
        line: number of the line.

    Raises:
        DataError: when it isn't one; the message begins with `where`.
    """
    mistake = _mistake(content)
    if mistake:
        raise DataError(f"{where}: {mistake}")
    match = _UID.fullmatch(content["uid"])
    assert match is not None
    given = {name: content.get(name) for name in _TEXTS if name not in ("by", "at")}
    return Decision(
        uid=match[1],
        verdict=content["verdict"],
        by=content["by"],
        at=content["at"],
        shares=tuple((content.get("shares") or {}).items()),
        slices=tuple(content.get("slices") or ()),
        seconds=content.get("seconds"),
        settles=bool(content.get("settles", False)),
        line=line,
        **given,
    )


def _mistake(content: Any) -> str:
    """What is wrong with a decision, or nothing."""
    if not isinstance(content, dict):
        return "is no JSON object"
    if unknown := [str(name) for name in content if name not in _KNOWN]:
        return f"unknown field '{unknown[0]}'.{nearest(unknown[0], _KNOWN)}"
    for name in ("uid", "verdict", "by", "at"):
        if not isinstance(content.get(name), str) or not content[name]:
            return f"lacks '{name}', or it is no text"
    for name in _TEXTS:
        if not isinstance(content.get(name), str | None):
            return f"'{name}' is no text"
    return _wrong_value(content)


def _wrong_value(content: Mapping[str, Any]) -> str:
    verdict, seconds = content["verdict"], content.get("seconds")
    if not _UID.fullmatch(content["uid"]):
        return f"uid '{content['uid'][:80]}' is no SHA-256 of 64 hexadecimal digits"
    if verdict not in (*VERDICTS, UNDO, ADD):
        return f"unknown verdict '{verdict}'.{nearest(verdict, VERDICTS)} Known: {VERDICTS}"
    if wrong := _lacking(content) or _wrong_shares(content.get("shares"), verdict):
        return wrong
    slices = content.get("slices")
    if not isinstance(slices, list | None) or not all(isinstance(s, str) for s in slices or ()):
        return "'slices' is no list of names"
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | None):
        return "'seconds' is no number"
    if not isinstance(content.get("settles", False), bool):
        return "'settles' is neither true nor false"
    for name in ("at", "of"):
        if (text := content.get(name)) and not _is_time(text):
            return f"'{name}' is '{text[:40]}', no time with a zone such as 2026-11-21T02:10:00Z"
    return ""


def _lacking(content: Mapping[str, Any]) -> str:
    """What a verdict needs beside itself."""
    verdict = content["verdict"]
    if verdict == "relabel" and not content.get("label"):
        return "relabel needs a 'label'"
    if verdict == ADD and not (content.get("label") and content.get("file_name")):
        return "add needs a 'label' and a 'file_name'"
    if verdict == UNDO and not content.get("of"):
        return "undo needs 'of', the time of what it takes back"
    return ""


def _wrong_shares(shares: Any, verdict: str) -> str:
    if shares is None:
        return ""
    if verdict != "ambiguous":
        return f"'shares' belong to the verdict ambiguous, not to {verdict}"
    if not isinstance(shares, dict) or not shares:
        return '\'shares\' is no mapping from classes to weights, e.g. {"cat": 0.7, "dog": 0.3}'
    for name, weight in shares.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 < weight < math.inf:
            return f"share of '{name[:40]}' is {weight!r:.40}; shares are numbers above 0"
    return ""


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def read_decisions(path: Path) -> list[Decision]:
    """Every line of a file, undone ones too.

    A last line without an end that can't be read is left out: its writer was killed, so it was
    never a whole decision.

    Raises:
        DataError: when the file can't be read, or a line is no decision; it names the line.
    """
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
    *whole, rest = text.split("\n")
    found = [
        _read_line(line, f"{path}, line {number}", number)
        for number, line in enumerate(whole, 1)
        if line.strip()
    ]
    if rest.strip() and _is_json(rest):
        found.append(_read_line(rest, f"{path}, line {len(whole) + 1}", len(whole) + 1))
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _read_line(line: str, where: str, number: int) -> Decision:
    try:
        line.encode()
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where}: is no JSON ({error}); mend or delete this line, the others are kept"
        ) from error
    return decision(content, where, number)


def standing(decisions: Iterable[Decision]) -> list[Decision]:
    """What was said of images, oldest first; of equal times the later line is newer.

    What was taken back is left out, and so are lines that add images.
    """
    return [each for each in _kept(decisions) if each.verdict != ADD]


def additions(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The line that counts for each image that is added, by uid: the newest not taken back."""
    return {each.uid: each for each in _kept(decisions) if each.verdict == ADD}


def _kept(decisions: Iterable[Decision]) -> list[Decision]:
    """Lines that were not taken back, oldest first."""
    every = list(decisions)
    undone = {
        (each.uid, each.by, each.of and _utc(each.of)) for each in every if each.verdict == UNDO
    }
    kept = [
        each
        for each in every
        if each.verdict != UNDO and (each.uid, each.by, each.when) not in undone
    ]
    return sorted(kept, key=lambda each: each.when)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def newest(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The decision that counts for each image, by uid: the newest that is no `skip`."""
    return {each.uid: each for each in standing(decisions) if each.verdict != "skip"}


def conflicts(decisions: Iterable[Decision]) -> dict[str, tuple[Decision, ...]]:
    """Images of which reviewers say different things, each one's newest word, by uid.

    A decision that `settles` ends what was said before it.
    """
    own: dict[str, dict[str, Decision]] = {}
    for each in standing(decisions):
        if each.verdict == "skip":
            continue
        if each.settles:
            own[each.uid] = {}
        own.setdefault(each.uid, {})[each.by] = each
    return {
        uid: tuple(said.values())
        for uid, said in own.items()
        if len({each.outcome for each in said.values()}) > 1
    }


def append_decisions(path: Path, decisions: Sequence[Decision]) -> None:
    """Add lines to a file and flush them to the disk before returning.

    A last line that was cut short when its writer was killed is cut off first.

    Raises:
        StorageError: when the file can't be written.
    """
    text = "".join(f"{each.as_json()}\n" for each in decisions)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two reviewers may share a file; neither may cut off what the other is writing.
        with FileLock(path.with_name(f".{path.name}.lock")), path.open("a+b") as file:
            _mend_end(file)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"{path}: can't be written ({error.strerror or error})") from error


def _mend_end(file: Any) -> None:
    """Give the last line its end, or cut off what is no whole line."""
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if _is_json(content[whole:].decode("utf-8", "replace")):
        file.write(b"\n")
    else:
        file.truncate(whole)


def merge_decisions(path: Path, decisions: Sequence[Decision]) -> list[Decision]:
    """Add to a file the decisions that it doesn't have yet; which those were.

    Giving the same decisions again changes nothing.

    Raises:
        DataError: when the file is there and can't be read.
        StorageError: when it can't be written.
    """
    there = {each.as_json() for each in read_decisions(path)} if path.exists() else set()
    lines = {each.as_json(): each for each in decisions}
    new = [each for line, each in lines.items() if line not in there]
    if new:
        append_decisions(path, new)
    return new
