"""Everything that a model card and a bill of materials state of a network, from its records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyrefinery.data_tests.reports import records
from tinyrefinery.deploy.export.side_files import record_file
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.opening import RUNTIME_FILES, TIMM
from tinyrefinery.pages.run_tables import shown_model
from tinyrefinery.reading.digests import file_digest
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.reports.class_errors import ClassLine, class_lines
from tinyrefinery.runs.run_folder import Run, TrainedStage, open_run
from tinyrefinery.runs.stage_record import DETECTOR
from tinyrefinery.sharing.ancestor import Ancestor
from tinyrefinery.sharing.artifacts import Artifact, find_artifacts, open_artifact_record
from tinyrefinery.sharing.bom_beside import BomFacts, bom_beside
from tinyrefinery.sharing.data_facts import ImageFacts, image_facts
from tinyrefinery.sharing.licenses import License, timm_license
from tinyrefinery.sharing.provenance import ancestors_beside, ancestors_of_stage, shown_labels
from tinyrefinery.statistics.paired import Spread, spread
from tinyrefinery.statistics.proportions import wilson_interval


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on held-out images."""

    split: str
    """`test`, or `validation` where the run has no test images."""
    n: int
    top1: float
    low: float
    """Lower end of the 95 % interval over images (Wilson)."""
    high: float
    measures: dict[str, float] = field(repr=False)
    """Further measures of evaluation.json, e.g. `ece`."""
    classes: tuple[ClassLine, ...] = field(repr=False)
    """Lowest first; empty where the run has no predictions."""
    over_seeds: Spread | None
    """Of the same stage over the run's seeds; None for one seed."""


@dataclass(frozen=True)
class CardFacts:
    """What is known of one network. Empty or None: not recorded."""

    network: Network
    title: str
    sha256: str
    """Of its file; empty for `timm:NAME`."""
    bytes: int | None
    license: License
    data_license: License
    stage: TrainedStage | None
    run: Run | None = field(repr=False)
    accuracy: Accuracy | None
    data: ImageFacts | None
    ancestors: tuple[Ancestor, ...]
    artifacts: tuple[Artifact, ...]
    tests: tuple[dict[str, Any], ...] = field(repr=False)
    """Kept results of data tests, see `data_tests.reports.records`."""
    beside: BomFacts | None = field(repr=False)
    """What a bill of materials beside the file states, where no run tells more."""
    own_record: Artifact | None = field(repr=False)
    """The record of the network itself, where it is an artifact."""
    address: str = ""
    """What opens it where the card is published, e.g. `hf:USER/NAME`; empty: its file."""

    @property
    def parameters(self) -> int | None:
        """Weights and biases."""
        return (self.stage.evaluation.get("cost") or {}).get("parameters") if self.stage else None

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one image."""
        cost = (self.stage.evaluation.get("cost") or {}) if self.stage else {}
        return cost.get("macs", self.own_record.macs if self.own_record else None)

    @property
    def model(self) -> str:
        """Architecture with its options."""
        if self.stage is not None:
            return shown_model(self.stage.model)
        recorded = self.own_record.record.get("model") if self.own_record else None
        return (self.beside.model if self.beside else "") or recorded or self.network.info.name

    @property
    def labels(self) -> str:
        """What it learned from; empty where unknown."""
        if self.stage is not None:
            return shown_labels(self.stage)
        return self.beside.labels if self.beside else ""

    @property
    def unknown_origin(self) -> tuple[str, ...]:
        """Networks behind it whose training images no record lists."""
        return tuple(dict.fromkeys(a.name for a in self.ancestors if not a.images_known))

    @property
    def recipe_digest(self) -> str:
        """SHA-256 of its effective recipe; empty where there is none."""
        return "" if self.network.recipe is None else part_hash(self.network.recipe)

    @property
    def budget(self) -> dict[str, Any]:
        """What the recipe lets it cost at most, by kind of cost; empty without a budget."""
        recipe, stage = self.network.recipe, self.stage
        if recipe is None or stage is None or stage.stage not in {s.id for s in recipe.generations}:
            return {}
        budget = recipe.budget_of(stage.stage)
        return {} if budget is None else budget.model_dump(mode="json", exclude_none=True)

    @property
    def seconds(self) -> float | None:
        """Time of its training; None where it isn't recorded."""
        times = [m["seconds"] for m in self.stage.metrics if m.get("seconds")] if self.stage else []
        return sum(times) if times else None


def card_facts(
    network: Network,
    *,
    title: str | None = None,
    license: str | None = None,
    data_license: str | None = None,
    exports: Sequence[Path] = (),
    address: str = "",
) -> CardFacts:
    """Gather what the records of a network state.

    Args:
        network: from `open_network`.
        title: of the card; None: the network's name.
        license: of the network; None: that of a bill of materials beside it, else unknown.
        data_license: of its data; as `license`.
        exports: folders to look for artifacts in, besides that of its file.
        address: what opens the network where the card is published.

    Raises:
        DataError: if the network is a detector, or a record is damaged.
        CheckpointError: if the network or an artifact is damaged.
    """
    stage = network.trained
    if stage is not None and stage.kind == DETECTOR:
        raise DataError(
            f"{network.name}: is a detector. Cards describe networks that classify images"
        )
    file = stage.intact_network if network.stage is not None and stage else network.file
    digest = file_digest(file) if file.is_file() else ""
    beside = bom_beside(file) if digest else None
    run = None if stage is None else open_run(stage.run_folder)
    ancestors = ancestors_beside(file) if stage is None else ancestors_of_stage(stage)
    is_artifact = file.suffix.lower() in RUNTIME_FILES
    names = {network.digest, digest, beside.digest if beside else ""} - {""}
    own = _own_record(file) if is_artifact else None
    return CardFacts(
        network=network,
        title=title or (beside.name if beside and stage is None else network.name),
        sha256=digest,
        bytes=file.stat().st_size if digest else None,
        license=_stated(license, beside.license if beside else License(), network),
        data_license=_stated(data_license, beside.data_license if beside else License()),
        stage=stage,
        run=run,
        accuracy=None if stage is None or run is None or is_artifact else _accuracy(stage, run),
        data=None if stage is None or run is None else image_facts(network, run, stage),
        ancestors=ancestors,
        artifacts=() if is_artifact else tuple(find_artifacts(names, [file.parent, *exports])),
        tests=_tests(network),
        beside=beside,
        own_record=own,
        address=address,
    )


def _stated(option: str | None, beside: License, network: Network | None = None) -> License:
    """A license: that of the command, else of a bill of materials, else of timm."""
    if option and option.strip():
        return License(option.strip(), "the publisher")
    if network is not None and network.source.startswith(TIMM):
        return timm_license(network.source)
    return beside


def _own_record(file: Path) -> Artifact | None:
    """The record of an artifact; None for a file that `export` didn't write."""
    return open_artifact_record(file) if record_file(file).is_file() else None


def _accuracy(stage: TrainedStage, run: Run) -> Accuracy | None:
    """Accuracy on the test images, else on the validation images; None without either."""
    split = "test" if stage.evaluation.get("test") else "validation"
    measured = stage.evaluation.get(split) or {}
    n, top1 = int(measured.get("n", 0)), measured.get("top1")
    path = stage.predictions(split)
    predictions = None if path is None else Predictions.load(path)
    if predictions is not None and len(predictions) and top1 is None:
        n, top1 = len(predictions), float(predictions.correct.mean())
    if not n or top1 is None:
        return None
    peers = [s for s in run.stages if (s.stage, s.rows) == (stage.stage, stage.rows)]
    values = [v for s in peers if (v := (s.evaluation.get(split) or {}).get("top1")) is not None]
    low, high = wilson_interval(float(top1), n)
    return Accuracy(
        *(split, n, float(top1), low, high),
        measures={k: float(v) for k, v in measured.items() if k in ("top5", "nll", "ece")},
        classes=() if predictions is None else tuple(class_lines(predictions)),
        over_seeds=spread(values) if len(values) > 1 else None,
    )


def _tests(network: Network) -> tuple[dict[str, Any], ...]:
    """The kept results of data tests of this very network."""
    found = sorted((network.home / "results").glob(f"*/{network.slug}.json"))
    kept = [records.read(path) for path in found]
    return tuple(each for each in kept if each["network_digest"] == network.digest)
