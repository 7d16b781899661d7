"""Label Studio by file: its labelling interface and tasks from a queue, decisions from its export.

Formats as Label Studio 1.x documents them; nothing of it is imported. Images are not uploaded: a
task names them below the folder that Label Studio serves (`/data/local-files/?d=`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from tinyrefinery.data.overlay.decisions import VERDICTS, Decision, parse_decision
from tinyrefinery.errors import DataError
from tinyrefinery.review.queue import Item, Queue

_KEYS = {"too_hard": "h", "ambiguous": "a", "drop": "x"}
"""Verdicts beside the label, and their keys."""


def interface(classes: Iterable[str]) -> str:
    """The labelling interface, XML to paste under Settings, Labeling Interface, Code.

    Args:
        classes: names; the first nine get the keys 1 to 9.
    """
    choices = [
        f"    <Choice value={quoteattr(name)}" + (f' hotkey="{n}"' if n < 10 else "") + "/>"
        for n, name in enumerate(classes, 1)
    ]
    verdicts = [f'    <Choice value="{name}" hotkey="{key}"/>' for name, key in _KEYS.items()]
    return "\n".join(
        [
            "<View>",
            '  <Image name="image" value="$image"/>',
            '  <Header value="given: $given   networks: $suggest   because: $why"/>',
            '  <Choices name="label" toName="image" choice="single" showInLine="true">',
            *choices,
            "  </Choices>",
            '  <Choices name="verdict" toName="image" choice="single" showInLine="true">',
            *verdicts,
            "  </Choices>",
            "</View>",
            "",
        ]
    )


def tasks(queue: Queue, root: Path) -> list[dict[str, Any]]:
    """A queue as tasks to import.

    Args:
        queue: of images that are files.
        root: the folder that Label Studio serves (LOCAL_FILES_DOCUMENT_ROOT).

    Raises:
        DataError: when an image is no file below that folder.
    """
    return [_task(item, queue, root.resolve()) for item in queue.items]


def _task(item: Item, queue: Queue, root: Path) -> dict[str, Any]:
    path = Path(item.file_name).expanduser().resolve()
    if not path.is_file() or not path.is_relative_to(root):
        raise DataError(
            f"{item.file_name}: is no file below {root}, so Label Studio can't show it; give the "
            "folder it serves, or review the queue with `tinyrefinery review`"
        )
    data = {
        "image": f"/data/local-files/?d={quote(path.relative_to(root).as_posix())}",
        "uid": f"sha256:{item.uid}",
        "file_name": item.file_name,
        "given": item.given or "",
        "suggest": item.suggest or "",
        "why": item.why,
        "reason": item.reason,
        "queue": queue.name,
    }
    task: dict[str, Any] = {"data": data}
    if item.suggest is not None:
        said = item.refiner or item.network
        choice = {"from_name": "label", "to_name": "image", "type": "choices"}
        result = [{"id": "suggested", **choice, "value": {"choices": [item.suggest]}}]
        version = queue.run or "tinyrefinery"
        score = round(said.get(item.suggest, 0.0), 4)
        task["predictions"] = [{"model_version": version, "score": score, "result": result}]
    return task


@dataclass(frozen=True)
class _Said:
    """The choices of one annotation."""

    label: str | None
    verdict: str | None


def read_export(path: Path, by: str = "label-studio") -> list[Decision]:
    """Decisions from an export in the format JSON (not JSON-MIN).

    Of each task the newest annotation of each person counts; cancelled ones are skips. A verdict
    goes before a label; a label that is the given one is `ok`.

    Args:
        path: the export.
        by: who decided, where the export doesn't tell.

    Raises:
        DataError: when it is none, or a task wasn't made from a queue; it names the task.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: can't be read as JSON ({error})") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: is no export of Label Studio: expected a list of tasks")
    found: list[Decision] = []
    for number, task in enumerate(content, 1):
        where = f"{path}, task {number}"
        try:
            found += _of_task(task, by, where)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: lacks or misstates {error}; export as JSON") from error
    return found


def _of_task(task: Mapping[str, Any], by: str, where: str) -> list[Decision]:
    data = task["data"]
    if "uid" not in data:
        raise DataError(f"{where}: has no uid; only tasks made from a queue can be read back")
    newest: dict[str, Mapping[str, Any]] = {}
    for each in sorted(task.get("annotations") or [], key=_time):
        newest[_person(each, by)] = each
    return [_decision(each, who, data, where) for who, each in newest.items()]


def _time(annotation: Mapping[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _person(annotation: Mapping[str, Any], by: str) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    return by if who is None else str(who)


def _decision(
    annotation: Mapping[str, Any], who: str, data: Mapping[str, Any], where: str
) -> Decision:
    said = _choices(annotation)
    given = data.get("given") or None
    content: dict[str, Any] = {"uid": data["uid"], "by": who, "was": given}
    content["at"] = _zoned(_time(annotation), where)
    if annotation.get("was_cancelled") or said == _Said(None, None):
        content["verdict"] = "skip"
    elif said.verdict is not None:
        content["verdict"] = said.verdict
        if said.verdict == "ambiguous":  # between the given class and the chosen one
            content["label"] = said.label
    elif said.label == given:
        content["verdict"] = "ok"
    else:
        content |= {"verdict": "relabel", "label": said.label}
    if (seconds := annotation.get("lead_time")) is not None:
        content["seconds"] = round(float(seconds), 2)
    content |= {name: data[name] for name in ("queue", "reason", "file_name") if data.get(name)}
    return parse_decision(
        {name: value for name, value in content.items() if value is not None}, where
    )


def _choices(annotation: Mapping[str, Any]) -> _Said:
    said: dict[str, str] = {}
    for each in annotation.get("result") or []:
        picked = each.get("value", {}).get("choices") or []
        if picked:
            said[str(each.get("from_name"))] = str(picked[0])
    verdict = said.get("verdict")
    return _Said(said.get("label"), verdict if verdict in VERDICTS else None)


def _zoned(text: str, where: str) -> str:
    if not text:
        raise DataError(f"{where}: an annotation has no time; export as JSON")
    return text if text.endswith("Z") or "+" in text[10:] else f"{text}Z"
