"""Changes made to images before a network is tested on them."""

from typing import Annotated

from pydantic import Field, model_validator

from tinyrefinery.options.part import Part, Positive, wrong


class Perturbation(Part):
    """Changes of the network's input, at its input size; several are made in this order."""

    gain: Positive | None = None
    """Factor of the brightness: 0.5 is half the light."""
    blur: Annotated[float, Field(gt=0, le=100)] | None = None
    """Standard deviation of a Gaussian blur, in pixels of the network's input; at most 100."""
    shift: tuple[int, int] | None = None
    """Pixels down and to the right; the edge is repeated."""
    noise: Positive | None = None
    """Standard deviation of Gaussian noise; black to white is 1."""
    jpeg: Annotated[int, Field(ge=1, le=100)] | None = None
    """Quality of a JPEG file that the picture goes through."""

    @model_validator(mode="after")
    def _does_something(self) -> "Perturbation":
        if not self.named():
            raise wrong(("", f"needs one of {', '.join(type(self).model_fields)}"))
        return self

    def named(self) -> str:
        """In words, e.g. `gain 0.5, jpeg 30`."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return ", ".join(
            f"{name} {'/'.join(map(str, value)) if isinstance(value, tuple) else f'{value:g}'}"
            for name, value in given.items()
            if value is not None
        )
