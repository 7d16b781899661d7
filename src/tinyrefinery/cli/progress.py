"""Progress lines of long commands, on stderr."""

import logging
import sys

from tinyrefinery.options.launch import is_first


class _BesideBars(logging.Handler):
    """Writes to stderr without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        from tqdm.auto import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def log_progress() -> None:
    """Print the progress messages of this package, and none of other libraries, to stderr.

    Of several processes that train together, only the first prints them.
    """
    ours = logging.getLogger("tinyrefinery")
    ours.setLevel(logging.INFO if is_first() else logging.ERROR)
    ours.propagate = False
    if not ours.handlers:
        ours.addHandler(_BesideBars())
