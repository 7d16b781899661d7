"""What processes that train together share out, and what they say when one of them is gone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lightning_fabric import Fabric
from torch import distributed

from tinyrefinery.errors import ChainError, RecipeError
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.options.launch import launched
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.plan import Job

_SIGNS = ("connection closed by peer", "connection reset", "timed out", "timeout", "nccl", "gloo")
"""In what PyTorch reports when a process no longer answers."""


@contextmanager
def told_if_others_ended() -> Iterator[None]:
    """Turn the failure to reach another process into one message.

    Raises:
        ChainError: if another process ended or can't be reached.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        together = distributed.is_available() and distributed.is_initialized()
        if not together or not any(sign in text.lower() for sign in _SIGNS):
            raise
        raise ChainError(
            f"another process of this training ended or can't be reached "
            f"({text.splitlines()[0][:200]}). Its own messages say why. Rerun the same command to "
            "resume from the last checkpoint; torchrun --max-restarts does it by itself"
        ) from error


def label_together(labels: StoredLabels, streams: Sequence[int], fabric: Fabric) -> None:
    """Make the streams of a store that are missing, each by one of the processes.

    A stream is labeled as a whole, in its batches of one process, so its labels have the same bits
    whatever the number of processes.

    Args:
        labels: of a stage.
        streams: that its training goes through.
        fabric: launched. With one process, nothing is done: training makes streams as it goes.
    """
    if fabric.world_size == 1:
        return
    for stream in streams[fabric.global_rank :: fabric.world_size]:
        labels.store.get_or_create(stream, lambda stream=stream: labels.label_stream(stream))
    fabric.barrier()


def check_seeds_apart(jobs: Sequence[Job], processes: int) -> None:
    """Refuse seeds in processes of their own where several processes share every batch.

    Raises:
        RecipeError: if that is so.
    """
    together = max((launched() or job.recipe.engine).devices for job in jobs)
    if processes > 1 and together > 1:
        raise RecipeError(
            f"--processes {processes} trains seeds side by side, each in one process, but "
            f"{together} processes share every batch here. Leave --processes out"
        )


def check_shares(recipe: Recipe, fabric: Fabric) -> None:
    """Refuse batches that the processes can't share evenly; a launcher decides how many there are.

    Raises:
        RecipeError: naming the stage.
    """
    for stage in recipe.generations:
        if stage.batch_size % fabric.world_size:
            raise RecipeError(
                f"stages.{stage.id}.batch_size: {stage.batch_size} crops can't be shared evenly by "
                f"{fabric.world_size} processes. Set it to a multiple, or start fewer processes"
            )
