"""Refiners from outside a recipe, checked before anything is trained."""

from tinyrefinery import builders
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import UNLABELLED
from tinyrefinery.errors import RefineryError
from tinyrefinery.labels.class_map import ClassMap, read_class_map
from tinyrefinery.networks.frozen import (
    check_channels,
    check_class_maps,
    class_names,
    fit_classes,
)
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.opening import HTTP, open_network
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage


class RefinerCheck:
    """Opens networks and datasets once for all recipes that it checks."""

    def __init__(self) -> None:
        """Check nothing yet."""
        self.mistakes: dict[str, None] = {}
        """Messages that begin with the place in the recipe, each once, in order."""
        self.notes: dict[str, None] = {}
        """What else a user must know, likewise."""
        self._data: dict[str, Dataset | RefineryError] = {}
        self._networks: dict[str, Network | RefineryError] = {}

    def check(self, recipe: Recipe) -> None:
        """Check the refiners of a recipe that are none of its stages.

        Files are opened. Models of timm are looked up, and no weights are downloaded. Endpoints are
        not asked. Classes are compared with those of the data if the data can be opened, without a
        download.
        """
        ids = {stage.id for stage in recipe.generations}
        for stage in recipe.generations:
            if isinstance(stage.labels, Refined) and not ids.issuperset(stage.labels.by):
                outside = [name for name in stage.labels.by if name not in ids]
                self._check_stage(stage, stage.labels, outside, recipe.data)

    def _check_stage(self, stage: Stage, part: Refined, names: list[str], data: Data) -> None:
        opened = self._opened_data(data)
        maps: list[ClassMap | None] = []
        asked = [name for name in names if not name.startswith(HTTP)]
        self.notes |= dict.fromkeys(
            f"{name} was not asked" for name in names if name.startswith(HTTP)
        )
        for name in asked:
            try:
                maps.append(self._map(self._opened(name), part, opened))
            except RefineryError as error:
                self._add(stage, error)
        if len(maps) < len(names) or not isinstance(opened, Dataset):
            return
        unlabelled = data.unlabelled is not None or len(opened.manifest.rows(UNLABELLED)) > 0
        try:
            check_class_maps(stage.id, part, maps, opened.classes, unlabelled=unlabelled)
        except RefineryError as error:
            self._add(stage, error)

    def _add(self, stage: Stage, error: RefineryError) -> None:
        """Add an error, whose lines are one mistake each, with the place in the recipe."""
        place = f"stages.{stage.id}."
        for line in str(error).splitlines():
            if line.startswith("labels."):
                line = f"{place}{line}"
            elif not line.startswith("stages."):
                line = f"{place}labels.by: {line}"
            self.mistakes[line] = None

    def _map(
        self, network: Network, part: Refined, data: Dataset | RefineryError
    ) -> ClassMap | None:
        """The class map of a network; None: it has the data's classes.

        Raises:
            RefineryError: when its classes or channels don't fit.
        """
        if isinstance(data, Dataset):
            found = fit_classes(network, data, part.classes, part.least_mass)
            check_channels(network, data)
            if found is not None and found.unreached:
                names = ", ".join(data.classes[number] for number in found.unreached)
                self.notes[
                    f"{network.source} can't predict {names} (such images keep their given labels)"
                ] = None
            return found
        self.notes[f"classes of {network.source} not compared with the data's: {data}"] = None
        if part.classes is None:
            return None
        targets = tuple(dict.fromkeys(part.classes.values()))
        names = class_names(network)
        return read_class_map(part.classes, names, targets, part.least_mass, network.source)

    def _opened(self, name: str) -> Network:
        if name not in self._networks:
            try:
                network = open_network(name)
                if network.kind != "timm":
                    network.load()
                self._networks[name] = network
            except RefineryError as error:
                self._networks[name] = error
        found = self._networks[name]
        if isinstance(found, RefineryError):
            raise found
        return found

    def _opened_data(self, data: Data) -> Dataset | RefineryError:
        key = data.source.model_dump_json()
        if key not in self._data:
            source = data.source
            if getattr(source, "download", False):
                source = source.model_copy(update={"download": False})
            try:
                self._data[key] = builders.dataset(data.model_copy(update={"source": source}))
            except RefineryError as error:
                self._data[key] = error
        return self._data[key]
