"""Shapes in the signatures of the central functions are checked at every call that a test makes.

The annotations (`Float[Tensor, "B K"]`) do nothing by themselves. jaxtyping rewrites these modules
as they are imported, so that beartype checks arguments and results, hence `check_shapes` comes
before any of them is imported.
"""

from jaxtyping import install_import_hook

CHECKED = (
    "tinyrefinery.losses.bias",
    "tinyrefinery.losses.cross_entropy",
    "tinyrefinery.losses.distributions",
    "tinyrefinery.losses.refinery",
    "tinyrefinery.losses.targets",
    "tinyrefinery.labels.policy",
    "tinyrefinery.labels.refiner",
    "tinyrefinery.labels.store.encodings",
    "tinyrefinery.training.jitter",
    "tinyrefinery.data.resizing",
)


def check_shapes() -> None:
    """Check the modules in `CHECKED`, in this process."""
    install_import_hook(CHECKED, "beartype.beartype")
