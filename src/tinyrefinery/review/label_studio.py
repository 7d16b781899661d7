"""Label Studio files: labeling interface and tasks from a queue, decisions from an export.

Formats are those documented by Label Studio 1.x, which is not imported. Images are not uploaded. A
task refers to files in the folder that Label Studio serves (`/data/local-files/?d=`).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from tinyrefinery.data.overlay.decisions import VERDICTS, Decision, parse_decision
from tinyrefinery.errors import DataError
from tinyrefinery.reading.json_text import read_json
from tinyrefinery.review.queue import Item, Queue

_KEYS = {"too_hard": "h", "ambiguous": "a", "drop": "x"}
"""Verdicts other than a label, and their keys."""


def interface(classes: Iterable[str]) -> str:
    """The labeling interface as XML, to paste under Settings, Labeling Interface, Code.

    Args:
        classes: class names. The first nine get the keys 1 to 9.
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
            '  <Header value="label: $given   predicted: $suggest   reason: $why"/>',
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
    """Convert a queue to tasks for import. Test images come without predictions.

    Args:
        queue: a queue whose images are files.
        root: the folder that Label Studio serves (LOCAL_FILES_DOCUMENT_ROOT).

    Raises:
        DataError: when an image is not a file in that folder.
    """
    return [_task(item.for_reviewer(), queue, root.resolve()) for item in queue.items]


def _task(item: Item, queue: Queue, root: Path) -> dict[str, Any]:
    path = Path(item.file_name).expanduser().resolve()
    if not path.is_file() or not path.is_relative_to(root):
        raise DataError(
            f"{item.file_name}: not a file in {root}, so Label Studio can't show it: set --root to "
            "the folder that it serves, or omit --label-studio to review in the browser"
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
        probabilities = item.refiner or item.network
        choice = {"from_name": "label", "to_name": "image", "type": "choices"}
        result = [{"id": "suggested", **choice, "value": {"choices": [item.suggest]}}]
        version = queue.run or "tinyrefinery"
        score = round(probabilities.get(item.suggest, 0.0), 4)
        task["predictions"] = [{"model_version": version, "score": score, "result": result}]
    return task


def read_export(path: Path, by: str = "label-studio") -> list[Decision]:
    """Read decisions from an export in the format JSON (not JSON-MIN).

    For each task, the newest annotation per person counts. Cancelled annotations become `skip`. A
    verdict takes precedence over a label, and an unchanged label becomes `ok`.

    Args:
        path: the export.
        by: reviewer to record if the export does not name one.

    Raises:
        DataError: when the file is not an export, or a task was not created from a queue. The
            message names the task.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(f"{path}: not a Label Studio export: expected a list of tasks")
    decisions: list[Decision] = []
    for number, task in enumerate(content, 1):
        where = f"{path}, task {number}"
        try:
            decisions += _task_decisions(task, by, where)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: missing or wrong {error}: export again as JSON") from error
    return decisions


def _task_decisions(task: Mapping[str, Any], by: str, where: str) -> list[Decision]:
    data = task["data"]
    if "uid" not in data:
        raise DataError(f"{where}: has no uid: export a project whose tasks are from a queue")
    if task.get("completions"):
        raise DataError(
            f"{where}: has 'completions', as Label Studio wrote before version 1.0. Import the "
            "project in a newer version and export it again as JSON"
        )
    newest: dict[str, Mapping[str, Any]] = {}
    for annotation in sorted(task.get("annotations") or [], key=_time):
        newest[_person(annotation, by)] = annotation
    return [_decision(annotation, who, data, where) for who, annotation in newest.items()]


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
    label, verdict = _choices(annotation, where)
    given = data.get("given") or None
    content: dict[str, Any] = {"uid": data["uid"], "by": who, "was": given}
    content["at"] = _with_zone(_time(annotation), where)
    if annotation.get("was_cancelled") or (label is None and verdict is None):
        content["verdict"] = "skip"
    elif verdict is not None:
        content["verdict"] = verdict
        if verdict == "ambiguous":  # between the label and the chosen class
            content["label"] = label
    elif label == given:
        content["verdict"] = "ok"
    else:
        content |= {"verdict": "relabel", "label": label}
    if (seconds := annotation.get("lead_time")) is not None:
        content["seconds"] = _seconds(seconds, where)
    content |= {name: data[name] for name in ("queue", "reason", "file_name") if data.get(name)}
    return parse_decision(
        {name: value for name, value in content.items() if value is not None}, where
    )


def _seconds(value: Any, where: str) -> float:
    try:
        return round(float(value), 2)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{where}: lead_time '{value!s:.40}' is not a number of seconds") from error


def _choices(annotation: Mapping[str, Any], where: str) -> tuple[str | None, str | None]:
    """Label and verdict of an annotation.

    Raises:
        DataError: when someone chose in another control, or several choices in one, so that no
            work is lost.
    """
    first: dict[str, str] = {}
    unread: list[str] = []
    for result in annotation.get("result") or []:
        value, control = result.get("value", {}), str(result.get("from_name"))
        choices = value.get("choices") or []
        if len(choices) > 1:
            raise DataError(
                f"{where}: has {len(choices)} choices of the control '{control}'. Give one, or the "
                "verdict 'ambiguous'"
            )
        if choices:
            first[control] = str(choices[0])
        elif value:
            unread.append(control)
    if unread and not first:
        raise DataError(
            f"{where}: the control '{unread[0]}' has no choices. Label in the controls 'label' and "
            "'verdict', which are Choices"
        )
    if others := sorted(first.keys() - {"label", "verdict"}):
        raise DataError(
            f"{where}: has choices of the control '{others[0]}', not of 'label' or 'verdict'. "
            "Rename the control in the labeling interface and in the export's from_name"
        )
    verdict = first.get("verdict")
    if verdict is not None and verdict not in VERDICTS:
        known = ", ".join(VERDICTS)
        raise DataError(f"{where}: no verdict '{verdict[:40]}'. Verdicts: {known}")
    return first.get("label"), verdict


def _with_zone(text: str, where: str) -> str:
    if not text:
        raise DataError(f"{where}: an annotation has no time: export again as JSON")
    return text if text.endswith("Z") or "+" in text[10:] else f"{text}Z"
