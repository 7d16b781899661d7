"""Push a network to the Hugging Face Hub: all files in one commit, or none."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tinyrefinery.errors import CheckpointError
from tinyrefinery.networks.hub import hub_error, hub_library, parse_hub_name
from tinyrefinery.sharing.card_facts import CardFacts
from tinyrefinery.sharing.shared_folder import Shared, check_shareable, stage_files

_ARTIFACTS = ["*.onnx", "*.onnx.*", "*.tflite", "*.tflite.*"]
_ARTIFACTS += ["*.pte", "*.pte.*", "*.packed", "*.packed.*"]
"""Artifacts of an earlier version, which the new card does not list. The same commit removes them;
the repository's history keeps them."""


def share_on_hub(facts: CardFacts, word: str, *, private: bool = False) -> Shared:
    """Push to `hf:USER/NAME`, or to its branch `hf:USER/NAME@BRANCH`, which must exist.

    Args:
        facts: of the network.
        word: the repository. It is made if there is none.
        private: whether a new repository is private.

    Raises:
        DataError: if the name is wrong, or `huggingface_hub` is missing.
        CheckpointError: if the Hub can't be reached, or doesn't take the files.
    """
    check_shareable(facts)
    repository, branch = parse_hub_name(word)
    api = hub_library(word).HfApi()
    with TemporaryDirectory() as place:
        folder = Path(place)
        notes = stage_files(facts, folder)
        files = tuple(sorted(path.name for path in folder.iterdir()))
        try:
            api.whoami()
        except Exception as error:
            raise _not_pushed(word, error) from error
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repository,
                folder_path=str(folder),
                revision=branch,
                commit_message=f"Share {facts.title}",
                delete_patterns=_ARTIFACTS,
            )
        except Exception as error:  # of the Hub's library, or of the connection
            raise _not_pushed(word, error) from error
    return Shared(f"https://huggingface.co/{repository}", files, notes)


def _not_pushed(word: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{hub_error(word, error)}. No file was pushed")
