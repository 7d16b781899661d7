"""Facts that must be known of a network whose file has no header of ours.

For an ONNX or LiteRT file the first source that states a fact counts: the command, a file such as
`FILE.onnx.yaml` or `FILE.tflite.yaml` beside it, its metadata, the network that it was made from.
Its graph may fix size and channels too.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveInt

from tinyrefinery.options.messages import check
from tinyrefinery.options.part import Part, Positive
from tinyrefinery.recipe.document import read


def _square(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


class Facts(Part):
    """What a person states of a network: the content of `FILE.onnx.yaml`, or options."""

    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    """Name of each output, in its order."""
    size: Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_square)] | None = None
    """Height and width of its images in pixels; a number stands for both."""
    mean: tuple[float, ...] | None = None
    """Subtracted from each channel of images in 0 to 1."""
    std: tuple[Positive, ...] | None = None
    """What each channel is then divided by."""
    like: str | None = None
    """Run, stage's folder or network file that it was made from; seen from this file's folder."""
    weights: str | None = None
    """File of weights for a timm model; null: those of the hub."""


def facts_beside(path: Path) -> Facts:
    """The facts in the YAML file beside an ONNX or LiteRT file; none where there is no such file.

    Raises:
        RecipeError: when it is wrong.
    """
    beside = path.with_name(f"{path.name}.yaml")
    if not beside.exists():
        return Facts()
    return check(read(beside), Facts, source=str(beside))
