"""Arrow's compute functions, untyped: Arrow creates them at import, hidden from type checkers."""

from typing import Any

import pyarrow.compute

pc: Any = pyarrow.compute
