"""Progress lines of long commands, on stderr."""

import logging
import sys


class _BesideBars(logging.Handler):
    """Writes to stderr without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        from tqdm.auto import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def log_progress() -> None:
    """Print the progress messages of this package, and none of other libraries, to stderr."""
    ours = logging.getLogger("tinyrefinery")
    ours.setLevel(logging.INFO)
    ours.propagate = False
    if not ours.handlers:
        ours.addHandler(_BesideBars())
