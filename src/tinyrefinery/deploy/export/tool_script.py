"""Programs for tool environments, as they were when this process loaded them.

A search runs for hours and exports until its end. Its last export runs the same program as its
first one, even if an upgrade or an edit changes or removes the file meanwhile.
"""

from pathlib import Path
from types import ModuleType


class ToolScript:
    """A module that a tool environment runs as a program, with the modules that it imports."""

    def __init__(self, script: ModuleType, *imported: ModuleType) -> None:
        """Read the files of all modules, now.

        Args:
            script: what is run.
            imported: modules that it imports by their last name, from the folder that it is in.
        """
        files = [Path(str(module.__file__)) for module in (script, *imported)]
        self._name = files[0].name
        self._contents = {file.name: file.read_bytes() for file in files}

    def write(self, folder: Path) -> Path:
        """Write the files to a new folder, and return that of the program."""
        folder.mkdir()
        for name, content in self._contents.items():
            (folder / name).write_bytes(content)
        return folder / self._name
