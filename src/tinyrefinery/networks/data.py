"""The data that tests are about: its columns at once, its pixels only when they are needed."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data_tests.schema import Suite
from tinyrefinery.errors import CheckpointError, DataError, DataTestError
from tinyrefinery.files import atomic_file, check_writable
from tinyrefinery.networks.find import Network
from tinyrefinery.recipe.load import canonical
from tinyrefinery.recipe.sources import Source


@dataclass(frozen=True)
class TestData:
    """A data source with its manifest, which is kept from one command to the next."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    source: Source
    home: Path = field(repr=False)
    key: str
    """Of source and files: equal keys are equal data."""
    manifest: Manifest = field(repr=False)
    opened: Any = field(default=None, repr=False)
    """The `Dataset`, where it had to be opened for its manifest."""

    @cached_property
    def dataset(self) -> Any:
        """The `Dataset`, with pixels; opening it may take a while.

        Raises:
            DataError: when it can't be opened, or isn't what it was when the manifest was kept.
        """
        opened = self.opened or _open(self.source)
        if opened.manifest.column("id").tolist() != self.manifest.column("id").tolist():
            raise DataError(f"{opened.name}: changed while the tests ran; give the command again")
        return replace(opened, manifest=self.manifest, truth=None)

    def properties(self) -> pa.Table:
        """Computed image properties of every row, kept beside the manifest."""
        path = self.home / f"properties-{self.key}.parquet"
        with suppress(OSError, pa.ArrowException):  # missing or damaged: made anew
            return pq.read_table(path)
        from tinyrefinery.data.properties.measure import image_properties

        table = image_properties(self.dataset, np.arange(len(self.manifest)))
        with atomic_file(path) as aside:
            pq.write_table(table, aside)
        return table


def find_data(
    suite: Suite, network: Network, home: Path, data_of: Network | None = None
) -> TestData:
    """The data of a file of tests, else of the network's run, under the network's classes.

    Args:
        suite: the tests.
        network: whose classes and channels count.
        home: folder that a path in the file starts from.
        data_of: whose run's data is taken where the file names none; None: the network's own.

    Raises:
        DataTestError: when neither names data.
        CheckpointError: when the data has a class that the network doesn't know.
    """
    from tinyrefinery.data.stamp import source_stamp

    source = _source(suite, network, home, data_of or network)
    facts = f"{tool_version()} {canonical(source)} {source_stamp(source.model_dump())}"
    if suite.data is not None:
        facts += " measured only"
    key = sha256(facts.encode()).hexdigest()[:12]
    path = network.home / f"data-{key}.parquet"
    opened, manifest = None, _kept(path)
    if manifest is None:
        check_writable(files=[path])  # opening may take long
        opened = _open(source)
        manifest = opened.manifest
        manifest = manifest if suite.data is None else _one_split_is_test(manifest)
        manifest.save(path)
    try:
        return TestData(source, network.home, key, manifest.with_classes(network.classes), opened)
    except DataError as error:
        raise CheckpointError(
            f"{network.name}: does not know what the data shows: {error}. Name the folders or "
            "labels as in training"
        ) from error


def tool_version() -> str:
    """Version of Tiny Refinery, empty where it isn't installed."""
    try:
        return version("tinyrefinery")
    except PackageNotFoundError:
        return ""


def _kept(path: Path) -> Manifest | None:
    """The kept manifest; None when it is missing or damaged, since it can be made again."""
    try:
        return Manifest.load(path)
    except DataError:
        return None


def _open(source: Source) -> Any:
    from tinyrefinery.data.open import open_data

    if source.name == "given":
        raise DataTestError(
            "the run's data set was handed over by Python code, so a command can't open it; name "
            "it in the file of tests, e.g. data: photos/"
        )
    return open_data(source.name, **source.model_dump(exclude={"name"}))


def _source(suite: Suite, network: Network, home: Path, data_of: Network) -> Source:
    if suite.data is None:
        if data_of.recipe is None:
            raise DataTestError(
                f"{data_of.name}: is a network without a run, so the file of tests must say on "
                "which data: data: photos/"
            )
        return data_of.recipe.data.source
    changes: dict[str, Any] = {"channels": network.channels}
    given = suite.data.model_dump()
    on_a_hub = suite.data.name == "hugging_face" and not (home / str(given["path"])).exists()
    places = ("overlay",) if on_a_hub else ("root", "path", "overlay")
    changes |= {name: anchored(given[name], home) for name in places if given.get(name)}
    if "validation" in given and hasattr(suite.data, "strict"):  # nothing is carved off
        changes |= {"validation": 0.0, "test": 0.0}
    return suite.data.model_copy(update=changes)


def anchored(value: Any, home: Path) -> Any:
    """Paths as seen from the file of tests."""
    if isinstance(value, str):
        path = Path(value).expanduser()
        return str(path if path.is_absolute() else home / path)
    if isinstance(value, dict):
        return {key: anchored(each, home) for key, each in value.items()}
    return type(value)(anchored(each, home) for each in value)


def _one_split_is_test(manifest: Manifest) -> Manifest:
    """Data without splits of its own is there to test on, all of it."""
    splits = manifest.column("split")
    if len(set(splits)) > 1:
        return manifest
    place = manifest.table.schema.get_field_index("split")
    column = pa.array(["test"] * len(manifest), pa.string())
    return Manifest(manifest.table.set_column(place, "split", column), manifest.classes)


def rows_in(manifest: Manifest, splits: Sequence[str]) -> dict[str, np.ndarray]:
    """Row numbers of each split that has any; "any" stands for all of them."""
    wanted = ("train", "validation", "test") if "any" in splits else tuple(dict.fromkeys(splits))
    found = {split: manifest.rows(split) for split in wanted}
    return {split: rows for split, rows in found.items() if len(rows)}
