"""Run a file of data tests on a network: from paths to results."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tinyrefinery.data.properties.property_names import KINDS, MEASURES
from tinyrefinery.data_tests.costs import Costs
from tinyrefinery.data_tests.data_test_file import DataTest, Suite, load_suite
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.reports import records
from tinyrefinery.data_tests.reports.records import Facts
from tinyrefinery.data_tests.rows import Rows, read_columns, rows_of
from tinyrefinery.data_tests.slices import choose
from tinyrefinery.data_tests.verdicts import Result
from tinyrefinery.data_tests.where import parse
from tinyrefinery.errors import DataTestError, RefineryError
from tinyrefinery.evaluation.prediction_table import ModelPredictions
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import NetworkData, open_network_data, rows_in, tool_version
from tinyrefinery.networks.opening import open_network
from tinyrefinery.networks.source_overrides import changed_source
from tinyrefinery.networks.stored_predictions import Wanted, predictions_of
from tinyrefinery.options.perturbation import Perturbation
from tinyrefinery.options.sources import Source
from tinyrefinery.recipe.load import canonical


@dataclass(frozen=True)
class Session:
    """A file of data tests with its results, and all that reports need."""

    path: Path
    """The file of tests."""
    suite: Suite = field(repr=False)
    network: Network
    baseline: Network | None
    data: NetworkData = field(repr=False)
    rows: Rows = field(repr=False)
    answers: ModelPredictions = field(repr=False)
    baseline_answers: ModelPredictions | None = field(repr=False)
    results: tuple[Result, ...] = field(repr=False)

    @property
    def paths(self) -> list[str]:
        """Path of each row."""
        return self.rows.columns.column("path").to_pylist()

    @property
    def facts(self) -> Facts:
        """Names and digests of what the results belong to."""
        return Facts(
            suite=self.path.name,
            suite_digest=sha256(canonical(self.suite).encode()).hexdigest(),
            network=self.network.name,
            network_digest=self.network.digest,
            baseline=self.baseline.name if self.baseline else None,
            data=self.data.source.name,
            data_digest=self.data.manifest.digest,
            images=len(self.data.manifest),
            version=tool_version(),
        )

    def test(self, result: Result) -> DataTest:
        """The test that a result is of; a class in brackets was filled in."""
        return self.suite.tests[result.name.partition("[")[0]]

    def record(self, *, release: bool) -> dict[str, Any]:
        """Facts and results as plain data."""
        return records.record(self.facts, self.results, self.paths, release=release)

    @property
    def kept(self) -> Path:
        """Where the record is kept for `history`."""
        return kept_results(self.network, self.path)


def kept_results(network: Network, suite: Path) -> Path:
    """Where the results of a file of tests are kept.

    Files of the same name are distinguished by their path relative to the network, which stays the
    same when both are moved together.
    """
    try:
        path = os.path.relpath(suite.resolve(), network.home.resolve())
    except ValueError:  # on another drive
        path = str(suite.resolve())
    mark = sha256(Path(path).as_posix().encode()).hexdigest()[:8]
    return network.home / "results" / f"{suite.stem}-{mark}" / f"{network.slug}.json"


def run_tests(
    path: str | Path,
    network: Network,
    baseline: Network | None = None,
    *,
    together: Sequence[Network] = (),
    like: Path | None = None,
    overrides: Sequence[str] = (),
) -> Session:
    """Judge a file of tests; compute and keep missing predictions.

    Args:
        path: the file.
        network: the network under test.
        baseline: the network to compare with; None: the one that the file names, if any.
        together: networks that are compared with one another. If the file names no data, the
            first one's run does. An image that any of them used in training is not held out.
        like: what an ONNX file that the file names as baseline was made from, see `open_network`.
        overrides: changes to the data of the network's run, e.g. `data.source.root=moved/`; they
            replace what the file names.

    Raises:
        DataTestError: when the file is wrong.
        RefineryError: when data or networks can't be opened.
    """
    path = Path(path)
    suite, home = load_suite(path), path.resolve().parent
    if baseline is None and suite.baseline is not None:
        baseline = open_network(Path(anchored(suite.baseline, home)), like=like)
    measured = {n.digest: n for n in (*together, network, *([baseline] if baseline else []))}
    first = next(iter(measured.values()))
    source = changed_source(first, overrides) if overrides else named_source(suite, home)
    data = open_network_data(list(measured.values()), source)
    rows = rows_for(suite, data, home)
    wanted = wanted_predictions(suite, data)
    own = predictions_of(network, data, wanted)
    theirs = predictions_of(baseline, data, wanted) if baseline else None
    results = judge(suite, rows, own, theirs, home, _costs(suite, network))
    return Session(path, suite, network, baseline, data, rows, own, theirs, tuple(results))


def _costs(suite: Suite, network: Network) -> Costs | None:
    """What the network costs on a device, if a test asks; a reason if that is not known."""
    costs = [test.measure for test in suite.tests.values() if test.measure.is_cost]
    asked = {metric.name for metric in costs}
    if not asked:
        return None
    from tinyrefinery.data_tests.network_costs import network_costs  # loads torch

    try:
        accelerators = dict.fromkeys(m.category for m in costs if m.category is not None)
        return network_costs(network, tuple(accelerators), latency="latency" in asked)
    except RefineryError as error:
        return Costs(network.name, missing=str(error))


def named_source(suite: Suite, home: Path) -> Source | None:
    """The images that a file of tests names, with paths as seen from the file; None: none."""
    if suite.data is None:
        return None
    given = suite.data.model_dump()
    on_a_hub = suite.data.name == "hugging_face" and not (home / str(given["path"])).exists()
    names = ("overlay",) if on_a_hub else ("root", "path", "overlay")
    places = {name: anchored(given[name], home) for name in names if given.get(name)}
    return suite.data.model_copy(update=places)


def anchored(value: Any, home: Path) -> Any:
    """Paths as seen from the file of tests."""
    if isinstance(value, str):
        path = Path(value).expanduser()
        return str(path if path.is_absolute() else home / path)
    if isinstance(value, dict):
        return {key: anchored(item, home) for key, item in value.items()}
    return type(value)(anchored(item, home) for item in value)


def rows_for(suite: Suite, data: NetworkData, home: Path) -> Rows:
    """The data's columns, with those of the suite's metadata files, and image properties if used.

    Raises:
        DataTestError: when a metadata file doesn't fit the data.
    """
    further = []
    for name in suite.metadata:
        file = Path(anchored(name, home))
        try:
            further.append(read_columns(file))
            rows_of(data.manifest, further)
        except DataTestError as error:
            raise DataTestError(f"{file}: {error}") from error
    rows = rows_of(data.manifest, further)
    known = (*MEASURES, *KINDS)
    missing = columns_used(suite) - set(rows.columns.column_names)
    if missing & set(known):
        there = rows.columns.column_names
        computed = data.properties()
        new = [n for n in computed.column_names if n == "id" or n not in there]
        rows = rows_of(data.manifest, [*further, _one_row_per_image(computed.select(new))])
    return replace(rows, computable=known)


def _one_row_per_image(table: pa.Table) -> pa.Table:
    """Copies of an image have equal properties; keep one row."""
    ids = table.column("id").to_numpy(zero_copy_only=False).astype(str)
    return table.take(pa.array(np.sort(np.unique(ids, return_index=True)[1])))


def _expressions(test: DataTest) -> list[str]:
    return [*([test.where] if test.where else []), *(test.compare or {}).values()]


def columns_used(suite: Suite) -> set[str]:
    """Names of all columns that the tests' expressions read."""
    texts = [text for test in suite.tests.values() for text in _expressions(test)]
    return {name for text in texts for name in parse(text).columns}


def wanted_predictions(suite: Suite, data: NetworkData) -> Wanted:
    """The splits and perturbations that the tests need predictions for."""
    of_images = [test for test in suite.tests.values() if not test.measure.is_cost]
    splits = [suite.setting(test, "split") for test in of_images] or [suite.defaults.split]
    rows = rows_in(data.manifest, splits)
    perturbed: dict[str, tuple[Perturbation, list[str]]] = {}
    for test in suite.tests.values():
        if test.perturb is not None:
            split = suite.setting(test, "split")
            own = list(rows) if split == "any" else [split]
            _, known = perturbed.setdefault(test.perturb.named(), (test.perturb, []))
            known += [each for each in own if each not in known]
    return Wanted(rows, perturbed)


def wrong_images(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Images of the suite's default split, and which of them the network gets wrong; (N,) bool."""
    everything = DataTest(at_least=0.0)
    chosen = choose(everything, session.suite, session.rows, session.path.parent)
    probabilities = session.answers.probabilities
    asked = chosen & ~np.isnan(probabilities[:, 0])
    predicted = np.nan_to_num(probabilities).argmax(axis=1)
    return asked, asked & (predicted != session.rows.labels)


def past_values(test: str, networks: Sequence[Network], suite: Path) -> list[dict[str, Any]]:
    """The kept results of a test for each network, in the order given.

    Raises:
        DataTestError: if the tests were never run on one of them, or have no such test.
    """
    found = []
    for network in networks:
        path = kept_results(network, suite)
        if not path.exists():
            raise DataTestError(
                f"{network.name}: has no results of {suite.name}; run `tinyrefinery test` first"
            )
        record = records.read(path)
        results = {each["name"]: each for each in record["results"]}
        if test not in results:
            from tinyrefinery.errors import did_you_mean

            raise DataTestError(
                f"{path}: no test '{test}'.{did_you_mean(test, results)} "
                f"Tests: {', '.join(results)}"
            )
        on = {"data_digest": record["data_digest"]}
        found.append({"network": network.name, "when": record["when"]} | on | results[test])
    return found
