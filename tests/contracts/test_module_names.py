"""No two modules share a name, so that a name in a traceback or a search is one file.

Files of commands are named after their command, and so may share the name of what they call.
"""

from collections import Counter
from pathlib import Path

import tinyrefinery

ROOT = Path(tinyrefinery.__file__).parent
USUAL = {"__init__.py", "page.py", "files.py"}


def test_no_two_modules_share_a_name():
    modules = [p for p in ROOT.rglob("*.py") if p.name not in USUAL and p.parent != ROOT / "cli"]
    names = Counter(path.name for path in modules)
    assert not [name for name, count in names.items() if count > 1]
