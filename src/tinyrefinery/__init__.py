"""Tiny Refinery: the open factory for tiny vision models.

The names below are the Python interface. They are loaded on first use, so that
`import tinyrefinery` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyrefinery.api import fine_tune, refine, train
    from tinyrefinery.data.dataset import Dataset
    from tinyrefinery.data.open import open_data
    from tinyrefinery.execution.chain import Chain, Generation
    from tinyrefinery.models import create as create_model
    from tinyrefinery.models.network_file import load_network
    from tinyrefinery.recipe.load import load_recipe

__version__ = "0.1.0"

_HOME = {
    "Chain": "tinyrefinery.execution.chain:Chain",
    "Dataset": "tinyrefinery.data.dataset:Dataset",
    "Generation": "tinyrefinery.execution.chain:Generation",
    "create_model": "tinyrefinery.models:create",
    "fine_tune": "tinyrefinery.api:fine_tune",
    "load_network": "tinyrefinery.models.network_file:load_network",
    "load_recipe": "tinyrefinery.recipe.load:load_recipe",
    "open_data": "tinyrefinery.data.open:open_data",
    "refine": "tinyrefinery.api:refine",
    "train": "tinyrefinery.api:train",
}

__all__ = [
    "Chain",
    "Dataset",
    "Generation",
    "create_model",
    "fine_tune",
    "load_network",
    "load_recipe",
    "open_data",
    "refine",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tinyrefinery' has no attribute '{name}'")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
