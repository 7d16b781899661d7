"""The images that a network is measured on: columns at once, pixels only when they are needed."""

import logging
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

from tinyrefinery.data.manifest import SPLITS, Manifest
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.files import atomic_file, check_writable
from tinyrefinery.networks.held_out import held_out
from tinyrefinery.networks.network import Network
from tinyrefinery.options.sources import Source
from tinyrefinery.recipe.load import canonical

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class NetworkData:
    """Images under a network's classes, in the splits that count for it (see `held_out`)."""

    source: Source
    home: Path = field(repr=False)
    key: str
    """Of source, files and networks: equal keys are equal data in equal splits."""
    manifest: Manifest = field(repr=False)
    notes: tuple[str, ...] = ()
    """What a reader of the numbers must know of the splits; a sentence each."""
    opened: Any = field(default=None, repr=False)
    """The `Dataset`, where it had to be opened for its manifest."""

    @cached_property
    def dataset(self) -> Any:
        """The `Dataset`, with pixels; opening it may take a while.

        Raises:
            DataError: when it can't be opened, or has changed since the manifest was kept.
        """
        opened = self.opened or open_source(self.source)
        if opened.manifest.column("id").tolist() != self.manifest.column("id").tolist():
            raise DataError(f"{opened.name}: changed meanwhile. Give the command again")
        return replace(opened, manifest=self.manifest, truth=None)

    def properties(self) -> pa.Table:
        """Computed image properties of every row, kept beside the manifest."""
        path = self.home / f"properties-{self.key}.parquet"
        with suppress(OSError, pa.ArrowException):  # missing or damaged: computed again
            return pq.read_table(path)
        from tinyrefinery.data.properties.measure import image_properties

        table = image_properties(self.dataset, np.arange(len(self.manifest)))
        with atomic_file(path) as aside:
            pq.write_table(table, aside)
        return table


def open_network_data(networks: Sequence[Network], source: Source | None = None) -> NetworkData:
    """The images that networks are measured on together, under the first one's classes.

    Args:
        networks: the first one's classes, channels and run count; an image that any of them was
            trained or chosen on is not held out.
        source: other images; None: those of the first network's run.

    Raises:
        DataError: when there are none, or they can't be opened.
        CheckpointError: when the data has a class that the first network doesn't know.
    """
    from tinyrefinery.data.stamp import source_stamp

    first, own = networks[0], source is None
    chosen = _of_run(first) if source is None else measured_whole(source, first.channels)
    key = _key(networks, chosen, source_stamp(chosen.model_dump()), own=own)
    path = first.home / f"data-{key}.parquet"
    opened, manifest = None, _kept(path)
    if manifest is None:
        check_kept(path, first)  # before opening, which may take long
        opened = open_source(chosen)
        manifest = opened.manifest
        manifest.save(path)
    held = held_out(manifest, networks, own=own)
    for note in held.notes:
        log.info(note)
    manifest = under_classes(held.manifest, first)
    return NetworkData(chosen, first.home, key, manifest, held.notes, opened)


def check_kept(path: Path, network: Network) -> None:
    """Check that a file can be kept beside its network, before the work that it is for.

    Raises:
        StorageError: without permission. No option names another place, so the message says more.
    """
    remedy = f"Allow writing to {network.home.parent}, or copy it and name the copy"
    if network.kind == "http":
        remedy = "Run the command in another folder"
    check_writable(files=[path], remedy=remedy)


def _key(networks: Sequence[Network], source: Source, stamp: str, *, own: bool) -> str:
    facts = [tool_version(), canonical(source), stamp, "own" if own else "other"]
    # Splits depend on what every network was trained on, which its digest stands for.
    facts += [network.digest for network in networks]
    return sha256(" ".join(facts).encode()).hexdigest()[:12]


def measured_whole(source: Source, channels: int) -> Source:
    """A source of images to measure on: nothing is split off, as many channels as the network."""
    changes: dict[str, Any] = {"channels": channels}
    if "validation" in type(source).model_fields and hasattr(source, "strict"):
        changes |= {"validation": 0.0, "test": 0.0}
    return source.model_copy(update=changes)


def under_classes(manifest: Manifest, network: Network) -> Manifest:
    """The manifest under a network's own list of classes.

    Raises:
        CheckpointError: when an image is of a class that the network doesn't know.
    """
    if len(set(network.classes)) < max(1, len(network.classes)) or not network.classes:
        raise CheckpointError(
            f"{network.name}: the names of its outputs are not known, or not unique: "
            f"{list(network.classes)[:8]}"
        )
    try:
        return manifest.with_classes(network.classes)
    except DataError as error:
        raise CheckpointError(
            f"{network.name}: has no output for some of the data: {error}. Name the folders or "
            "labels as in training"
        ) from error


def tool_version() -> str:
    """Version of Tiny Refinery, empty where it isn't installed."""
    try:
        return version("tinyrefinery")
    except PackageNotFoundError:
        return ""


def open_source(source: Source) -> Any:
    """The `Dataset` of a source. See `data.open.open_source`, which needs torch, for errors."""
    from tinyrefinery.data import open as opening

    return opening.open_source(source)


def rows_in(manifest: Manifest, splits: Sequence[str]) -> dict[str, np.ndarray]:
    """Row numbers of each split that has any; "any" stands for train, validation and test."""
    wanted = SPLITS if "any" in splits else tuple(dict.fromkeys(splits))
    found = {split: manifest.rows(split) for split in wanted}
    return {split: rows for split, rows in found.items() if len(rows)}


def _kept(path: Path) -> Manifest | None:
    """The kept manifest; None when it is missing or damaged, since it can be made again."""
    try:
        return Manifest.load(path)
    except DataError:
        return None


def _of_run(network: Network) -> Source:
    if network.recipe is None:
        raise DataError(
            f"{network.name}: is a network without a run, so its data is not known. Name the "
            "images, e.g. data.source.root=photos/, or data: photos/ in a file of data tests"
        )
    return network.recipe.data.source
