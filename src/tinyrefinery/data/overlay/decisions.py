"""Review decisions about images: an append-only file, in which the newest decision counts.

Each line is a JSON object: `uid` (`sha256:` and the SHA-256 of the image's bytes), `verdict`, `by`,
`at`, and optional fields. The verdict `undo` revokes the decision whose time is in `of`. The
verdict `add` adds an image to the training images, see `additions`. So files can be merged line by
line, in any order.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from tinyrefinery.errors import DataError, StorageError, did_you_mean
from tinyrefinery.reading.json_text import parse_json

VERDICTS = ("ok", "relabel", "too_hard", "ambiguous", "drop", "skip")
UNDO, ADD = "undo", "add"
AUTO = "auto:"
"""Prefix of the source of labels from a network without review."""
_UID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_TEXTS = ("label", "was", "by", "at", "queue", "reason", "of", "note", "file_name")
_FIELDS = ("uid", "verdict", "slices", "seconds", "settles", "shares", *_TEXTS)


@dataclass(frozen=True)
class Decision:
    """A reviewer's decision about one image."""

    uid: str
    """SHA-256 of the image's bytes, 64 hexadecimal digits."""
    verdict: str
    """One of `VERDICTS`, or `undo`, or `add`."""
    by: str
    """Name of the reviewer."""
    at: str
    """Time, ISO 8601 with a time zone."""
    label: str | None = None
    """The new class of a relabeled image; the most likely class of an ambiguous one."""
    was: str | None = None
    """The label that was shown to the reviewer."""
    shares: tuple[tuple[str, float], ...] = ()
    """Possible classes of an ambiguous image, with weights; empty if not specified."""
    slices: tuple[str, ...] = ()
    """Slices to add the image to."""
    queue: str | None = None
    reason: str | None = None
    """Why it was in the queue, see `review.queue`."""
    seconds: float | None = None
    """Time that the reviewer took."""
    settles: bool = False
    """Whether it settles a disagreement: earlier decisions on the image no longer count."""
    of: str | None = None
    """For `undo`: the time of the revoked decision."""
    note: str | None = None
    file_name: str | None = None
    line: int = 0
    """Line number in the file, from 1; 0 before it is written."""

    @property
    def when(self) -> datetime:
        """The time, for comparisons."""
        return datetime.fromisoformat(self.at)

    @property
    def outcome(self) -> tuple[str, str | None]:
        """What two reviewers must agree on: the resulting class or, without one, the verdict."""
        label = {"relabel": self.label, "ok": self.was}.get(self.verdict)
        return (self.verdict, None) if label is None else ("class", label)

    def as_json(self) -> str:
        """The line in the file, without its end. Equal decisions have equal lines."""
        content: dict[str, Any] = {"uid": f"sha256:{self.uid}", "verdict": self.verdict}
        for name in ("label", "was", "by", "at", "of", "queue", "reason", "file_name", "note"):
            if (value := getattr(self, name)) is not None:
                content[name] = value
        content |= {"shares": dict(self.shares)} if self.shares else {}
        content |= {"slices": list(self.slices)} if self.slices else {}
        content |= {"seconds": self.seconds} if self.seconds is not None else {}
        content |= {"settles": True} if self.settles else {}
        return json.dumps(content, ensure_ascii=False)


def timestamp() -> str:
    """The current time for decisions. Microseconds distinguish decisions of one reviewer."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def parse_decision(content: Any, where: str = "decision", line: int = 0) -> Decision:
    """Parse a decision.

    Args:
        content: decoded JSON.
        where: file and line, for messages.
        line: number of the line.

    Raises:
        DataError: if it is invalid; the message starts with `where`.
    """
    mistake = _mistake(content)
    if mistake:
        raise DataError(f"{where}: {mistake}")
    match = _UID.fullmatch(content["uid"])
    assert match is not None
    texts = {name: content.get(name) for name in _TEXTS if name not in ("by", "at")}
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
        **texts,
    )


def _mistake(content: Any) -> str:
    """What is wrong with a decision; empty if it is valid."""
    if not isinstance(content, dict):
        return "is not a JSON object"
    if "format" in content and "uid" not in content:
        return "this is a queue, not decisions. To decide: tinyrefinery review QUEUE"
    if unknown := [str(name) for name in content if name not in _FIELDS]:
        return f"unknown field '{unknown[0]}'.{did_you_mean(unknown[0], _FIELDS)}"
    for name in ("uid", "verdict", "by", "at"):
        if not isinstance(content.get(name), str) or not content[name]:
            return f"'{name}' is missing or not a text"
    for name in _TEXTS:
        if not isinstance(content.get(name), str | None):
            return f"'{name}' is not a text"
    return _wrong_value(content)


def _wrong_value(content: Mapping[str, Any]) -> str:
    verdict, seconds = content["verdict"], content.get("seconds")
    if not _UID.fullmatch(content["uid"]):
        return f"uid '{content['uid'][:80]}' is not a SHA-256 of 64 hexadecimal digits"
    if verdict not in (*VERDICTS, UNDO, ADD):
        return f"unknown verdict '{verdict}'.{did_you_mean(verdict, VERDICTS)} Known: {VERDICTS}"
    if wrong := _missing_field(content) or _wrong_shares(content.get("shares"), verdict):
        return wrong
    slices = content.get("slices")
    if not isinstance(slices, list | None) or not all(isinstance(s, str) for s in slices or ()):
        return "'slices' is not a list of names"
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (number and math.isfinite(seconds)):
        return "'seconds' is not a number"
    if not isinstance(content.get("settles", False), bool):
        return "'settles' must be true or false"
    for name in ("at", "of"):
        if (text := content.get(name)) and not _is_time(text):
            return (
                f"'{name}' must be a time with a zone like 2026-11-21T02:10:00Z, not '{text:.40}'"
            )
    return ""


def _missing_field(content: Mapping[str, Any]) -> str:
    """The fields that a verdict requires and lacks."""
    verdict = content["verdict"]
    if verdict == "relabel" and not content.get("label"):
        return "relabel needs a 'label'"
    if verdict == ADD and not (content.get("label") and content.get("file_name")):
        return "add needs a 'label' and a 'file_name'"
    if verdict == UNDO and not content.get("of"):
        return "undo needs 'of', the time of the decision to revoke"
    return ""


def _wrong_shares(shares: Any, verdict: str) -> str:
    if shares is None:
        return ""
    if verdict != "ambiguous":
        return f"'shares' need the verdict ambiguous, not {verdict}"
    if not isinstance(shares, dict) or not shares:
        return '\'shares\' must map classes to weights, e.g. {"cat": 0.7, "dog": 0.3}'
    for name, weight in shares.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 < weight < math.inf:
            return f"the share of '{name[:40]}' must be a number above 0, not {weight!r:.40}"
    return ""


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def read_decisions(path: Path) -> list[Decision]:
    """Read all lines of a file, including revoked decisions.

    An incomplete last line is ignored: its writer was killed before the decision was complete.

    Raises:
        DataError: if the file can't be read, or a line is not a decision; names the line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
    *complete, last = text.split("\n")
    decisions = [
        _read_line(line, f"{path}, line {number}", number)
        for number, line in enumerate(complete, 1)
        if line.strip()
    ]
    if last.strip() and _is_json(last):
        decisions.append(_read_line(last, f"{path}, line {len(complete) + 1}", len(complete) + 1))
    return decisions


def _is_json(text: str) -> bool:
    try:
        parse_json(text, "last line")
    except DataError:
        return False
    return True


def _read_line(line: str, where: str, number: int) -> Decision:
    remedy = "Fix or delete this line; the others stay valid."
    return parse_decision(parse_json(line, where, remedy), where, number)


def valid_decisions(decisions: Iterable[Decision]) -> list[Decision]:
    """Decisions about images that are not revoked, without additions, oldest first.

    Of equal times the later line is the newer.
    """
    return [decision for decision in _not_revoked(decisions) if decision.verdict != ADD]


def newest_additions(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The newest addition of each added image that is not revoked, by uid."""
    return {d.uid: d for d in _not_revoked(decisions) if d.verdict == ADD}


def _not_revoked(decisions: Iterable[Decision]) -> list[Decision]:
    """Decisions that are not revoked, oldest first."""
    decisions = list(decisions)
    revoked = {
        (decision.uid, decision.by, decision.of and datetime.fromisoformat(decision.of))
        for decision in decisions
        if decision.verdict == UNDO
    }
    valid = [
        decision
        for decision in decisions
        if decision.verdict != UNDO and (decision.uid, decision.by, decision.when) not in revoked
    ]
    return sorted(valid, key=lambda decision: decision.when)


def newest_by_image(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The decision that counts for each image, by uid: the newest that is not a `skip`."""
    return {d.uid: d for d in valid_decisions(decisions) if d.verdict != "skip"}


def disagreements(decisions: Iterable[Decision]) -> dict[str, tuple[Decision, ...]]:
    """Images that reviewers disagree about: uid -> the newest decision of each reviewer.

    A decision that `settles` replaces all earlier ones.
    """
    by_uid: dict[str, dict[str, Decision]] = {}
    for decision in valid_decisions(decisions):
        if decision.verdict == "skip":
            continue
        if decision.settles:
            by_uid[decision.uid] = {}
        by_uid.setdefault(decision.uid, {})[decision.by] = decision
    return {
        uid: tuple(by_reviewer.values())
        for uid, by_reviewer in by_uid.items()
        if len({decision.outcome for decision in by_reviewer.values()}) > 1
    }


def append_decisions(path: Path, decisions: Sequence[Decision]) -> None:
    """Append lines to a file and flush them to disk before returning.

    Removes an incomplete last line first. Its writer was killed.

    Raises:
        StorageError: if the file is not writable.
    """
    with _locked(path):
        _append(path, decisions)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other writers out. Without it, one could cut off or repeat another's lines."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            yield
    except OSError as error:
        raise StorageError(f"{path}: is not writable ({error.strerror or error})") from error


def _append(path: Path, decisions: Sequence[Decision]) -> None:
    text = "".join(f"{decision.as_json()}\n" for decision in decisions)
    with path.open("a+b") as file:
        _repair_last_line(file)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _repair_last_line(file: Any) -> None:
    """Terminate a complete last line, or remove an incomplete one."""
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    content = file.read()
    start = content.rfind(b"\n") + 1
    if _is_json(content[start:].decode("utf-8" if start else "utf-8-sig", "replace")):
        file.write(b"\n")
    else:
        file.truncate(start)


Choose = Callable[[Sequence[Decision], Sequence[Decision]], Sequence[Decision]]
"""Given decisions and those that a file has -> the given ones to add, equal lines aside."""


def merge_decisions(
    path: Path, decisions: Sequence[Decision], choose: Choose | None = None
) -> list[Decision]:
    """Append the decisions that a file lacks, and return them. Safe to repeat.

    The file is read and written under one lock, so that two commands at once add nothing twice.

    Args:
        path: the file.
        decisions: the decisions.
        choose: leaves out decisions that the file has in other words; None: none.

    Raises:
        DataError: if the file exists and can't be read.
        StorageError: if the file is not writable.
    """
    with _locked(path):
        existing = read_decisions(path) if path.exists() else []
        known = {decision.as_json() for decision in existing}
        wanted = decisions if choose is None else choose(decisions, existing)
        lines = {decision.as_json(): decision for decision in wanted}
        new = [decision for line, decision in lines.items() if line not in known]
        if new:
            _append(path, new)
    return new
