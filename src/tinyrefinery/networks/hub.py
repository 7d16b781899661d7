"""Networks on the Hugging Face Hub: `hf:USER/NAME`, or `hf:USER/NAME@REVISION`."""

import re
from pathlib import Path
from typing import Any

from tinyrefinery.errors import CheckpointError, DataError, RefineryError

HUB = "hf:"
NETWORK = "model.safetensors"
_NAME = re.compile(
    r"hf:(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^@\s]+))?", re.ASCII | re.IGNORECASE
)
_FILES = [NETWORK, "bom.json", "recipe.yaml", "README.md"]
"""What opening a network fetches. Artifacts of its repository are left there."""


def is_on_hub(word: str) -> bool:
    """Whether a word names a network on the Hub."""
    return word.startswith(HUB)


def parse_hub_name(word: str) -> tuple[str, str | None]:
    """Repository and revision of `hf:USER/NAME@REVISION`.

    Raises:
        DataError: if it is none.
    """
    matched = _NAME.fullmatch(word)
    if matched is None:
        raise DataError(
            f"{word}: names no network on the Hub. Write hf:USER/NAME, or hf:USER/NAME@REVISION"
        )
    return matched["repository"], matched["revision"]


def fetch_network(word: str) -> Path:
    """The file of a network on the Hub, in the Hub's cache; fetched if it is not there.

    Raises:
        DataError: if there is no such repository or revision, or it has no network of ours.
        CheckpointError: if it can't be fetched.
    """
    repository, revision = parse_hub_name(word)
    hub = hub_library(word)
    try:
        place = hub.snapshot_download(repository, revision=revision, allow_patterns=_FILES)
    except Exception as error:  # of the Hub's library, of the connection, of the disk
        raise hub_error(word, error) from error
    file = Path(place) / NETWORK
    if not file.is_file():
        raise DataError(f"{word}: has no {NETWORK}. `tinyrefinery share` writes one")
    return file


def hub_library(word: str) -> Any:
    """The package `huggingface_hub`.

    Raises:
        DataError: if it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise DataError(
            f"{word}: needs the package huggingface_hub. Install it: "
            "pip install 'tinyrefinery[hub]'"
        ) from error
    return huggingface_hub


def hub_error(word: str, error: Exception) -> RefineryError:
    """One error for a failure of the Hub's library."""
    from huggingface_hub import errors

    repository, revision = parse_hub_name(word)
    if isinstance(error, errors.RevisionNotFoundError):
        return DataError(f"{word}: {repository} has no revision '{revision}'. Name another one")
    if isinstance(error, errors.GatedRepoError):
        return DataError(
            f"{word}: its owner grants access on request. Ask for it at "
            f"https://huggingface.co/{repository}, then log in: hf auth login"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return DataError(
            f"{word}: there is no such repository, or it is private. If it is, log in: "
            "hf auth login"
        )
    if isinstance(error, errors.LocalTokenNotFoundError) or _status(error) in (401, 403):
        return CheckpointError(
            f"{word}: the Hub asks for a token that allows this. Log in: hf auth login"
        )
    reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
    return CheckpointError(f"{word}: the Hub can't be reached ({reason}). Check the connection")


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)
