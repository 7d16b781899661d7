"""Arrow's compute functions, which are made when they are imported: type checkers see none."""

from typing import Any

import pyarrow.compute

pc: Any = pyarrow.compute
