"""Read .npz files, whatever is wrong with them."""

from pathlib import Path

import numpy as np

from tinyrefinery.errors import DataError


def read_arrays(path: Path, remedy: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, empty without such a file. Runs no code from the file.

    Args:
        path: the file.
        remedy: what the user can do, a sentence for the message.

    Raises:
        DataError: if the file is truncated, damaged or of another kind.
    """
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except Exception as error:  # damaged zips and headers raise almost anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{path}: is damaged or not an .npz file ({reason}). {remedy}") from error
