"""From a run to a queue: which images a person should review."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from tinyrefinery.data.copies.find_copies import find_copies
from tinyrefinery.data.copies.fingerprints import Fingerprints, fingerprint
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.properties.small_images import map_chunks
from tinyrefinery.data_tests.session import Session, run_tests
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import NetworkData, open_network_data, rows_in
from tinyrefinery.networks.opening import of_stage, open_network
from tinyrefinery.networks.source_overrides import changed_source
from tinyrefinery.networks.stored_predictions import Wanted, predictions_of
from tinyrefinery.review.pools import (
    ImagePredictions,
    disagreement_items,
    failed_test_items,
    random_items,
    shortcut_items,
    suspect_items,
)
from tinyrefinery.review.queue import Item, Queue
from tinyrefinery.review.shares import choose_items, normalize_shares
from tinyrefinery.runs.run_folder import open_run

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class Mined:
    """A queue, and how its images were found."""

    queue: Queue
    counts: Mapping[str, int]
    """Images by reason."""
    found: Mapping[str, int]
    """Candidates by reason."""
    notes: tuple[str, ...] = field(default=())


def mine(
    run: Path,
    *,
    tests: Path | None = None,
    budget: int = 200,
    seed: int = 0,
    refiner: Path | None = None,
    shares: Mapping[str, float] | None = None,
    stage: str | None = None,
    run_seed: int | None = None,
    row: str | None = None,
    like: Path | None = None,
    overrides: Sequence[str] = (),
    test_images: bool = False,
) -> Mined:
    """Choose the images that a person should review.

    Args:
        run: run folder, a stage's folder, or an ONNX file that was made from one.
        tests: a file of data tests; images of those that fail are candidates.
        budget: images, at most.
        seed: of the random draws; equal seeds give equal queues.
        refiner: run or network file that the network is compared with; None: the refiner that its
            labels came from, if any.
        shares: by reason, see `shares.SHARES`.
        stage: of the run; None: the last.
        run_seed: of a run with several; None: the lowest.
        row: of a run of a table.
        like: of an ONNX file, the run that it was made from.
        overrides: changes to the data of run and tests, e.g. `data.source.root=moved/`.
        test_images: choose from the test split too. Labels that are corrected where a network
            fails, and only there, raise its test accuracy.

    Raises:
        DataError: when nothing can be found, or a share or the budget is wrong.
        RefineryError: when data or networks can't be opened.
    """
    if budget < 1:
        raise DataError(f"a budget of {budget} images is none; give 1 or more")
    parts = normalize_shares(shares)
    network = open_network(run, stage=stage, seed=run_seed, row=row, like=like)
    source = changed_source(network, overrides) if overrides else None
    data = open_network_data([network], source)
    other = open_network(refiner) if refiner is not None else _refiner_of(network)
    predictions = _predictions(network, data, other)
    session = run_tests(tests, network, like=like, overrides=overrides) if tests else None
    pools, notes = _pools(network, data, predictions, session, seed)
    if not test_images:
        pools, left_out = _without_test_images(pools)
        notes += left_out
    groups, copies = _groups(data.dataset, predictions.ids)
    items = choose_items(pools, budget, parts, groups)
    if not items:
        hint = "" if test_images else ". --test-images selects test images too"
        raise DataError(f"{network.name}: no image to review for these shares and tests{hint}")
    elsewhere = session is not None and session.suite.data is not None and not overrides
    sources = [data, session.data] if session is not None and elsewhere else [data]
    queue = _queue(network, sources, items, seed=seed, budget=budget)
    population = len(set(predictions.ids[predictions.splits == "train"])) - copies
    return _mined(queue, population, pools, notes)


def _mined(
    queue: Queue, population: int, pools: Mapping[str, list[Item]], notes: list[str]
) -> Mined:
    counts = {name: sum(each.reason == name for each in queue.items) for name in pools}
    found = {name: len(pool) for name, pool in pools.items()}
    return Mined(replace(queue, population=population), counts, found, tuple(notes))


def _pools(
    network: Network,
    data: NetworkData,
    predictions: ImagePredictions,
    session: Session | None,
    seed: int,
) -> tuple[dict[str, list[Item]], list[str]]:
    """Candidates by reason, and a note for each reason that has none."""
    notes, pools = [], dict[str, list[Item]]()
    if session is None:
        notes.append("failed_test: no file of data tests was given")
    else:
        tested = _of_manifest(session.data.manifest, session.answers.probabilities)
        pools["failed_test"] = failed_test_items(tested, session.results)
    dynamics = network.stage.dynamics if network.stage else None
    if dynamics is not None:
        pools["label_suspect"] = suspect_items(predictions, data.dataset, load_dynamics(dynamics))
    else:
        notes.append("label_suspect: there are no training dynamics; mine the run itself")
    if predictions.refiner is None:
        notes.append("disagreement: the stage has no refiner; give one with --refiner")
    pools["disagreement"] = disagreement_items(predictions)
    pools["shortcut"] = shortcut_items(predictions, data.dataset, data.properties(), seed)
    train = np.flatnonzero(predictions.splits == "train")
    pools["random"] = random_items(predictions, train, seed)
    return pools, notes


def _without_test_images(
    pools: Mapping[str, list[Item]],
) -> tuple[dict[str, list[Item]], list[str]]:
    """The candidates that are not of a test split, and a note for each reason that lost some."""
    kept = {name: [item for item in pool if not item.is_test] for name, pool in pools.items()}
    lost = {name: len(pool) - len(kept[name]) for name, pool in pools.items()}
    notes = [
        f"{name}: left out {count:,} test images; to review them too: --test-images"
        for name, count in lost.items()
        if count
    ]
    return kept, notes


def _predictions(network: Network, data: NetworkData, refiner: Network | None) -> ImagePredictions:
    """The network's and the refiner's predictions for all rows of the run's data."""
    manifest = data.manifest
    wanted = Wanted(rows_in(manifest, ["any"]), {})
    own = predictions_of(network, data, wanted).probabilities
    theirs = predictions_of(refiner, data, wanted).probabilities if refiner is not None else None
    return _of_manifest(manifest, own, theirs)


def _of_manifest(
    manifest: Manifest, own: np.ndarray, refiner: np.ndarray | None = None
) -> ImagePredictions:
    ids, paths, splits = (manifest.column(name) for name in ("id", "path", "split"))
    return ImagePredictions(ids, paths, manifest.labels, splits, manifest.classes, own, refiner)


def _refiner_of(network: Network) -> Network | None:
    """The network whose labels the stage learned from, where the same run holds it."""
    stage = network.stage
    if stage is None or network.run is None:
        return None
    run = open_run(network.run)
    refiners = (s for s in run.stages if s.seed == stage.seed and s.key in stage.refiners)
    return next((of_stage(run, refiner) for refiner in refiners), None)


def _groups(dataset: Dataset, ids: np.ndarray) -> tuple[dict[str, str], int]:
    """Group of near copies by uid, and how many training images are copies of another one."""
    log.info(f"{dataset.name}: looking for near copies among {len(ids):,} images")
    chunks = map_chunks(dataset, np.arange(len(ids)), fingerprint)
    groups: dict[str, str] = {}
    train = dataset.manifest.column("split") == "train"
    repeated = 0
    found = find_copies(dataset, Fingerprints.concatenate(chunks, len(ids)))
    for number, copies in enumerate(each for each in found if each.certain):
        groups |= {str(ids[row]): f"g{number}" for row in copies.rows}
        inside = {str(ids[row]) for row in copies.rows if train[row]}
        repeated += max(0, len(inside) - 1)
    return groups, repeated


def _queue(
    network: Network, sources: list[NetworkData], items: list[Item], *, seed: int, budget: int
) -> Queue:
    recipe = network.recipe
    assert recipe is not None
    size = network.info.size
    same = size == recipe.data.train_crop.size
    identity = "\n".join([network.digest, str(seed), str(budget), *(each.uid for each in items)])
    return Queue(
        name=f"q-{sha256(identity.encode()).hexdigest()[:8]}",
        data=tuple(each.source.model_dump(mode="json") for each in sources),
        classes=network.classes,
        channels=network.channels,
        size=size,
        items=tuple(items),
        resize=recipe.data.eval_crop.resize if same else None,
        run=network.name,
        seed=seed,
        budget=budget,
    )
