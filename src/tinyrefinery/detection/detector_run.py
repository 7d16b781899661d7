"""Train and measure detectors into a run folder, which is that of any other run.

A detector's stage has two files more, the boxes that it found on each split and a contact sheet:

    stages/detector-KEY8/found-SPLIT.parquet  sheet.jpg
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from tinyrefinery import builders, random
from tinyrefinery.data.batches import Batch
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.detection import build
from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.coco_measure import check_installed
from tinyrefinery.detection.detections import Detections, detect, save_detections
from tinyrefinery.detection.detector_file import DetectorInfo, load_detector, save_detector
from tinyrefinery.detection.detector_measures import measures
from tinyrefinery.detection.drawing import draw_sheet
from tinyrefinery.detection.loss import matched_right, multibox
from tinyrefinery.detection.matching import MatchedBoxes
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation import cost
from tinyrefinery.execution.execute import train_recipes
from tinyrefinery.execution.finished_steps import damaged_measures
from tinyrefinery.execution.initial_recipes import Start, check_fits, is_recipe
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.runs import files
from tinyrefinery.runs.image_record import COLUMNS
from tinyrefinery.runs.lock import locked
from tinyrefinery.runs.plan import DetectorJob, Step, plan_detectors
from tinyrefinery.runs.run_folder import TrainedStage, open_stage, read_metrics
from tinyrefinery.runs.stage_digests import done_threads
from tinyrefinery.runs.writing import (
    DataFacts,
    finish_stage,
    seen_outside,
    write_run,
    write_stage,
    write_table,
)
from tinyrefinery.training import learning_rates as schedules
from tinyrefinery.training import parameter_groups as optimizers
from tinyrefinery.training.job import Training
from tinyrefinery.training.logs import Record, write_history
from tinyrefinery.training.loop import fit
from tinyrefinery.training.state import remove_states

SHEET = 16  # images on a contact sheet
SHEET_SCORE = 0.5

log = logging.getLogger("tinyrefinery")


def run_detectors(
    jobs: Sequence[DetectorJob], folder: Path, *, table: Mapping[str, Any] | None = None
) -> list[TrainedStage]:
    """Train and measure all unfinished detectors.

    Args:
        jobs: recipes, of one table or of several seeds.
        folder: the run folder.
        table: what the folder keeps of the table that the jobs are rows of (`table_facts`).

    Returns:
        The detector of each job.

    Raises:
        RefineryError: for anything that the user can fix; what was trained until then is kept.
    """
    check_installed()
    with locked(folder):
        datasets = _open_data(jobs)
        ready = train_backbones(jobs, folder)
        steps = plan_detectors(ready, [data.digest for data in datasets], folder)
        opened = list(map(OpenDetector, ready, datasets, steps))
        for detector in {each.step.fills: each for each in opened}.values():
            # Raises what is wrong before anything is trained.
            build.detector(detector.recipe, detector.data.classes)
        facts = {data.digest: box_facts(data) for data in datasets}
        write_run(folder, jobs[0].recipe, list(facts.values()))
        if table is not None:
            write_table(folder, table, jobs, steps)
        for detector in opened:
            _run_step(detector)
        return [open_stage(step.folder) for step in steps]


def _open_data(jobs: Sequence[DetectorJob]) -> list[BoxData]:
    """The images of each job; those of one source share them."""
    opened: dict[str, BoxData] = {}
    for job in jobs:
        source = part_hash(job.recipe.data.source)
        if source not in opened:
            opened[source] = build.box_data(job.recipe.data.source)
        _check_splits(job.recipe, opened[source])
    return [opened[part_hash(job.recipe.data.source)] for job in jobs]


def _check_splits(recipe: DetectionRecipe, data: BoxData) -> None:
    if len(data.rows("train")) < 2:
        raise DataError(f"{data.name}: fewer than two training images")
    if recipe.training.schedule.name == "plateau" and not len(data.rows("validation")):
        raise DataError(
            f"{data.name}: the validation split is empty, which training.schedule 'plateau' looks "
            "at; set data.source.validation, or take another schedule"
        )


def train_backbones(jobs: Sequence[DetectorJob], folder: Path) -> list[DetectorJob]:
    """Train the recipes that backbones start from (`init_from: recipe:NAME`), at the jobs' seeds.

    Returns:
        The jobs, with these networks named as files.

    Raises:
        RecipeError: when the last network of a recipe is another one than the backbone.
    """
    parts = [job.recipe.detector.backbone for job in jobs]
    starts = [Start(part.init_from or "", part.start) for part in parts]
    wanted = []
    for job, part, start in zip(jobs, parts, starts, strict=True):
        if is_recipe(part.init_from):
            check_fits("detector.backbone.init_from", start, part)
            wanted.append((start, job.recipe.seed))
    trained = train_recipes(wanted, folder)
    ready = []
    for job, start in zip(jobs, starts, strict=True):
        file = trained.get((start, job.recipe.seed))
        ready.append(job if file is None else replace(job, recipe=_from_file(job.recipe, file)))
    return ready


def _from_file(recipe: DetectionRecipe, file: Path) -> DetectionRecipe:
    change = {"init_from": f"file:{file}", "start": ()}
    backbone = recipe.detector.backbone.model_copy(update=change)
    detector = recipe.detector.model_copy(update={"backbone": backbone})
    return recipe.model_copy(update={"detector": detector})


def box_facts(data: BoxData) -> DataFacts:
    """What a run keeps of a dataset of boxes; an image has no class of its own."""
    splits = {
        split: {"images": len(data.rows(split)), "objects": data.counts(split)} for split in SPLITS
    }
    label = pa.nulls(len(data), pa.string())
    columns = [list(data.ids), list(data.paths), label, data.splits.tolist()]
    images = pa.table(columns, names=COLUMNS)
    return DataFacts(data.name, data.digest, data.classes, splits, images, data.problems)


@dataclass(frozen=True)
class OpenDetector:
    """A detector's job with its images, and where it is kept."""

    job: DetectorJob
    data: BoxData
    step: Step

    @property
    def recipe(self) -> DetectionRecipe:
        """Of the job."""
        return self.job.recipe

    @property
    def inference(self) -> dict[str, Any]:
        """How boxes are found. Weights don't depend on it, but all measures do."""
        return self.recipe.inference.model_dump(mode="json")

    def find(
        self,
        network: nn.Module,
        info: DetectorInfo,
        rows: np.ndarray,
        look: Callable[[Tensor, Batch], None] | None = None,
    ) -> list[Detections]:
        """The boxes that a detector finds in each of the images `rows`; see `detect`."""
        device = next(network.parameters()).device
        view = build.box_view(self.recipe, self.data, info, device, train=False)
        workers, inference = self.recipe.data.workers, self.recipe.inference
        return detect(network, view, rows, inference, workers=workers, look=look)


def _run_step(opened: OpenDetector) -> None:
    """Train the detector, or measure it again where `inference` has changed."""
    step = opened.step
    fabric = builders.fabric(opened.recipe.engine)
    fabric.launch()
    if opened.recipe.engine.threads:
        torch.set_num_threads(opened.recipe.engine.threads)
    write_stage(step, opened.data.ids)
    if not step.is_done:
        _train(opened, fabric)
    elif reason := _reason_to_measure(opened):
        log.info(f"{step.title}: measured again, as {reason}")
        network, info = load_detector(step.network)
        history = read_metrics(step.folder / files.METRICS)
        write_history(step.folder, list(history))
        seconds = sum(record["seconds"] for record in history)
        _keep(opened, network.to(fabric.device), info, seconds)
    remove_states(step.folder)


def _reason_to_measure(opened: OpenDetector) -> str:
    """Why a trained detector is to be measured again; empty if it is not.

    Raises:
        CheckpointError: if something is damaged that only training leaves.
    """
    if damaged := damaged_measures(opened.step.folder):
        return f"{', '.join(damaged)} was damaged"
    before = open_stage(opened.step.folder).evaluation
    return "inference has changed" if before["inference"] != opened.inference else ""


def _train(opened: OpenDetector, fabric: Fabric) -> None:
    recipe, data, step = opened.recipe, opened.data, opened.step
    network, info = build.detector(recipe, data.classes)
    part = recipe.training.loss
    policy = MatchedBoxes(network.default_boxes, part.overlap)
    loss = partial(multibox, negatives=part.negatives, least_negatives=part.least_negatives)
    rows, boxes = data.rows("train"), len(network.default_boxes)
    log.info(f"{step.title}: {step.model}, {len(rows)} images, {boxes} default boxes")

    def validate(net: nn.Module) -> Record:
        """`validation_loss`, and `validation_map11` where there is an object to find."""
        return _validate(opened, net, info, lambda o, b: float(loss(o, policy(b))))

    trained, history = fit(
        Training(
            network=network,
            view=build.box_view(recipe, data, info, fabric.device, train=True),
            rows=rows,
            policy=policy,
            loss=loss,
            optimizer=optimizers.build(recipe.training.optimizer, network),
            schedule=schedules.build(recipe.training.schedule, recipe.training.epochs),
            options=recipe.training,
            engine=recipe.engine,
            seed=random.integer(recipe.seed, "training"),
            workers=recipe.data.workers,
            fabric=fabric,
            validate=validate,
            folder=step.folder,
            title=step.title,
            hits=matched_right,
        )
    )
    save_detector(step.network, trained, info)
    _keep(opened, trained, info, sum(record["seconds"] for record in history))


def _validate(
    opened: OpenDetector,
    network: nn.Module,
    info: DetectorInfo,
    loss: Callable[[Tensor, Batch], float],
) -> Record:
    rows = opened.data.rows("validation")
    if not len(rows):
        return {}
    losses: list[float] = []

    def look(outputs: Tensor, batch: Batch) -> None:
        """Note the loss of a batch, weighted by its images."""
        losses.append(loss(outputs, batch) * len(batch.labels))

    boxes = opened.find(network, info, rows, look)
    result = measures(opened.data, rows, boxes, coco=False)
    record = {"validation_loss": sum(losses) / len(rows)}
    return record | ({} if result["map11"] is None else {"validation_map11": result["map11"]})


def _unseen_test_rows(opened: OpenDetector) -> np.ndarray:
    """Rows of the test split that the backbone was not trained or chosen on elsewhere."""
    rows, ids = opened.data.rows("test"), opened.data.ids
    seen = seen_outside(opened.step, ids)
    unseen = np.array([row for row in rows if ids[row] not in seen], np.int64)
    if left_out := len(rows) - len(unseen):
        log.warning(
            f"{opened.step.title}: {left_out} of {len(rows)} test images are left out: the "
            "network that its backbone starts from was trained or chosen on them"
        )
    return unseen


def _keep(opened: OpenDetector, network: nn.Module, info: DetectorInfo, seconds: float) -> None:
    """Write what a detector finds and its measures, and declare the stage done."""
    step, data = opened.step, opened.data
    result: dict[str, Any] = {"inference": opened.inference}
    for split in SPLITS:
        rows = _unseen_test_rows(opened) if split == "test" else data.rows(split)
        if not len(rows):
            continue
        boxes = opened.find(network, info, rows)
        save_detections(step.folder / f"found-{split}.parquet", data, rows, boxes)
        result[split] = measures(data, rows, boxes)
        if split == "validation":
            shown = rows[:SHEET]
            draw_sheet(step.folder / "sheet.jpg", data, shown, boxes, score=SHEET_SCORE)
    size = (info.spec.size, info.spec.size)
    result["cost"] = {
        "parameters": cost.parameters(network),
        "macs": cost.macs(network, 3, size),
        "seconds": seconds,
    }
    threads = done_threads(step.folder) if step.is_done else None
    finish_stage(step, result, threads or torch.get_num_threads())
