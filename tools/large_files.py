"""Refuse large files: what is large is made by a command, or fetched, and not committed."""

import sys
from pathlib import Path

MOST_BYTES = 250_000


def too_large(paths: list[str], most: int = MOST_BYTES) -> list[str]:
    """One line for each of the files that is larger than `most` bytes; links don't count."""
    files = [Path(path) for path in paths]
    sizes = {
        file: file.stat().st_size for file in files if file.is_file() and not file.is_symlink()
    }
    return [
        f"{file}: {size:,} bytes (at most {most:,})" for file, size in sizes.items() if size > most
    ]


def main() -> int:
    """Check the files named on the command line; return 1 when one is too large."""
    found = too_large(sys.argv[1:])
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
