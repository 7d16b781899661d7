"""The source of a network's images, changed by overrides. Loads without torch."""

from collections.abc import Sequence
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.networks.network import Network
from tinyrefinery.options.messages import check
from tinyrefinery.options.part import Part
from tinyrefinery.options.sources import Source
from tinyrefinery.recipe.overrides import apply

OVERRIDE = "data.source."
"""Begins every override that these commands take."""


def changed_source(network: Network, overrides: Sequence[str]) -> Source:
    """The source of a network's images, changed by overrides.

    It starts from that of the network's run, or from a folder of pictures where there is no run or
    where another kind of source is named.

    Args:
        network: whose channels count.
        overrides: `data.source.NAME=VALUE`, e.g. `data.source.root=photos/`.

    Raises:
        DataError: when an override isn't about the source.
        RecipeError: when one is wrong.
    """
    others = [o for o in overrides if not o.strip().startswith(OVERRIDE)]
    if others:
        raise DataError(f"override '{others[0]}': only {OVERRIDE}NAME=VALUE can be changed here")
    of_run = network.recipe.data.source.model_dump(mode="json") if network.recipe else {}
    start: dict[str, Any] = {"name": "folder", "channels": network.channels}
    kind = apply({}, list(overrides))["data"]["source"].get("name")
    if of_run and kind in (None, of_run["name"]):
        start = of_run
    changed = apply({"data": {"source": start}}, list(overrides))
    return check(changed["data"], _Named, source="data").source


class _Named(Part):
    """Checks a source by itself."""

    source: Source
