"""The images of a recipe, changed by overrides, as networks are measured on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tinyrefinery import builders
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.networks.held_out import held_out
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import log, measured_whole, rows_in
from tinyrefinery.recipe.load import load_recipe, part_hash
from tinyrefinery.recipe.schema import Recipe

_SOURCE = ("data.source", "data=")


@dataclass(frozen=True)
class Measured:
    """A network, and the images that it is measured on."""

    network: Network
    recipe: Recipe
    """With the overrides: it says how evaluation crops are taken, and where to compute."""
    dataset: Dataset = field(repr=False)
    """Its splits are what counts for the network, see `held_out`."""

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """Manifest rows of each split that has any."""
        return rows_in(self.dataset.manifest, ["any"])


def measured_on(
    networks: Sequence[Network], overrides: Sequence[str] = (), recipe: Path | None = None
) -> Iterator[Measured]:
    """Each network with its images, opened once for all networks that share them.

    Args:
        networks: of runs, unless a recipe is named.
        overrides: changes to the recipe's data, e.g. `data.source.root=other/`.
        recipe: says on what images; None: the recipe of each network's run.

    Raises:
        DataError: when a network has no recipe, or the data can't be opened.
        RecipeError: when an override is wrong.
    """
    datasets: dict[str, Dataset] = {}
    named = recipe is not None or any(o.strip().startswith(_SOURCE) for o in overrides)
    noted: set[str] = set()
    for network in networks:
        changed = _recipe_of(network, overrides, recipe)
        if named:
            source = measured_whole(changed.data.source, network.channels)
            data = changed.data.model_copy(update={"source": source})
            changed = changed.model_copy(update={"data": data})
        key = part_hash(changed.data)
        if key not in datasets:
            datasets[key] = builders.dataset(changed.data)
        held = held_out(datasets[key].manifest, [network], own=not named)
        for note in set(held.notes) - noted:
            log.info(note)
        noted |= set(held.notes)
        yield Measured(network, changed, replace(datasets[key], manifest=held.manifest))


def _recipe_of(network: Network, overrides: Sequence[str], recipe: Path | None) -> Recipe:
    path = recipe or network.recipe_file
    if path is None:
        raise DataError(
            f"{network.name}: is not in a run folder. Name the recipe whose images to measure on: "
            "--recipe RECIPE"
        )
    return load_recipe(path, list(overrides))
