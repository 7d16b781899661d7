"""What was decided and how long it took, kept in the folder, so that the same command resumes."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic
from tinyrefinery.reading.digests import is_intact, sealed
from tinyrefinery.reading.json_text import read_json_object

NAME = "fit.json"
_CHEAP = {"candidates"}
"""Decisions that nothing was trained for."""


class Diary:
    """Decisions by name, in the order in which they were made.

    A decision that was made is read, not made again: what it rests on, such as how fast this
    machine is, may be another today.
    """

    def __init__(
        self, folder: Path, request: dict[str, Any], *, began: float | None = None
    ) -> None:
        """Open the diary of a folder, or begin it.

        Args:
            folder: of the search.
            request: what was asked for.
            began: when the command began, by `time.monotonic`; None: now.

        Raises:
            DataError: if the folder is of another request, or the diary is damaged.
        """
        self.folder = folder
        self._path = folder / NAME
        self._before = 0.0
        self._began = time.monotonic() if began is None else began
        self._request = json.loads(json.dumps(request))
        self._decisions: dict[str, Any] = {}
        if self._path.exists():
            self._read()
        else:
            self._save()

    def _read(self) -> None:
        kept = read_json_object(self._path)
        if not is_intact(kept):
            raise DataError(
                f"{self._path}: is damaged. Restore a copy, or name another folder: --out FOLDER"
            )
        if kept["request"] != self._request:
            if set(kept["decisions"]) <= _CHEAP:
                self._save()  # nothing was trained, so nothing is lost
                return
            differ = [
                f"{name} was {kept['request'].get(name)} and is {self._request.get(name)}"
                for name in {**kept["request"], **self._request}
                if kept["request"].get(name) != self._request.get(name)
            ]
            raise DataError(
                f"{self._path.parent}: is of another search: {'; '.join(differ)}. Name another "
                "folder: --out FOLDER"
            )
        self._before, self._decisions = kept["seconds"], kept["decisions"]

    @property
    def seconds(self) -> float:
        """How long the search took until now, over all its commands."""
        return self._before + time.monotonic() - self._began

    def __contains__(self, name: str) -> bool:
        return name in self._decisions

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """The decision of this name, made now if it has not been made."""
        if name not in self._decisions:
            self._decisions[name] = json.loads(json.dumps(make()))
            self._save()
        return self._decisions[name]

    def keep_time(self) -> None:
        """Write down how long the search took, so that a crash does not lose more than a step."""
        self._save()

    def _save(self) -> None:
        facts = {
            "request": self._request,
            "seconds": self.seconds,
            "decisions": self._decisions,
        }
        write_atomic(self._path, json.dumps(sealed(facts), indent=1))
