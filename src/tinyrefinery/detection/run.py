"""A detector's recipe at several seeds, in one run folder: trained, measured and kept.

    runs/NAME/
      recipe.yaml  environment.json  data.json  excluded.csv  results.csv
      detectors/seed-S-KEY8/
        detector.json  state.pt  metrics.jsonl  metrics.csv  model.safetensors
        found-SPLIT.parquet  evaluation.json  sheet.jpg  done.json

A detector is known by a key: a digest of all that its weights depend on. So a command that was
interrupted at any moment goes on when it is given again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from tinyrefinery import builders, random
from tinyrefinery.data.batches import Batch
from tinyrefinery.detection import build as build
from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.coco_measure import check_installed
from tinyrefinery.detection.detections import Found, detect, save_found
from tinyrefinery.detection.detector_file import DetectorInfo, load_detector, save_detector
from tinyrefinery.detection.drawing import SHEET_SIDE, draw_boxes
from tinyrefinery.detection.loss import matched_right, multibox
from tinyrefinery.detection.matching import MatchedBoxes
from tinyrefinery.detection.summary import measures
from tinyrefinery.errors import CheckpointError, DataError, RecipeError
from tinyrefinery.evaluation import cost
from tinyrefinery.execution.run import alone, start_recipe, trained_start, write_problems
from tinyrefinery.files import write_atomic
from tinyrefinery.losses import Loss
from tinyrefinery.pages.overlays import Tile, contact_sheet
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.load import dump
from tinyrefinery.runs.environment import environment
from tinyrefinery.runs.plan import say
from tinyrefinery.training.job import Training
from tinyrefinery.training.logs import Record
from tinyrefinery.training.loop import fit

FORMAT = 1  # of run folders; part of every key
SHEET = 16  # images on a contact sheet
SHEET_SCORE = 0.5


@dataclass(frozen=True)
class DetectorRun:
    """A recipe at one seed in a run folder."""

    recipe: DetectionRecipe
    data: BoxData
    folder: Path
    key: str

    @property
    def is_done(self) -> bool:
        """Whether it is trained and measured."""
        return (self.folder / "done.json").exists()

    @property
    def inference(self) -> dict[str, Any]:
        """How boxes are found: weights don't depend on it, but all that is measured does."""
        return self.recipe.inference.model_dump(mode="json")

    @property
    def is_measured_so(self) -> bool:
        """Whether what was kept was found with this recipe's `inference`."""
        done = json.loads((self.folder / "done.json").read_text("utf-8"))
        return done.get("inference") == self.inference


def run_detection(
    recipe: DetectionRecipe, folder: Path, *, seeds: int = 1, start: Sequence[str] = ()
) -> list[DetectorRun]:
    """Train and measure what isn't finished, at `seeds` seeds counted from the recipe's own.

    Args:
        recipe: one detector.
        folder: the run folder.
        seeds: how many.
        start: overrides of the recipe that the backbone starts from, where it does
            (`init_from: recipe:NAME`).

    Raises:
        RefineryError: for anything that the user can mend; what was made until then is kept.
    """
    check_installed()
    recipes = [recipe.model_copy(update={"seed": recipe.seed + i}) for i in range(seeds)]
    with alone(folder):
        data = build.box_data(recipe.data.source)
        _check_splits(recipe, data)
        recipes = begun(recipes, folder, start)
        fabric = builders.fabric(recipe.engine)
        fabric.launch()
        if recipe.engine.threads:
            torch.set_num_threads(recipe.engine.threads)
        runs = [_place(each, data, folder) for each in recipes]
        build.detector(recipes[0], data.classes)  # what is wrong shows now
        _describe(recipe, data, folder)
        for each in runs:
            if not each.is_done:
                _train(each, fabric)
            elif not each.is_measured_so:
                _measure_again(each, fabric)
            (each.folder / "state.pt").unlink(missing_ok=True)
        return runs


def begun(
    recipes: Sequence[DetectionRecipe], folder: Path, start: Sequence[str] = ()
) -> list[DetectionRecipe]:
    """The recipes with the network that the backbone starts from named as a file, trained first.

    Raises:
        RecipeError: when that network is another one than the backbone, or `start` has no recipe.
    """
    name = recipes[0].detector.backbone.init_from or ""
    if not name.startswith(builders.RECIPE):
        if start:
            raise RecipeError(
                f"override 'start.{start[0]}': the backbone starts from no recipe; write "
                "detector.backbone.init_from=recipe:NAME"
            )
        return list(recipes)
    part, first = recipes[0].detector.backbone, start_recipe(name, start)
    model = first.generations[-1].model
    if (part.name, part.kwargs) != (model.name, model.kwargs):
        raise RecipeError(
            f"detector.backbone.init_from: '{name}' ends with {model.name} {model.kwargs}, but the "
            f"backbone is {part.name} {part.kwargs}; both must be the same"
        )
    files = trained_start(name, first, [each.seed for each in recipes], folder)
    return [_started_from(each, files[each.seed]) for each in recipes]


def _started_from(recipe: DetectionRecipe, file: Path) -> DetectionRecipe:
    backbone = recipe.detector.backbone.model_copy(update={"init_from": f"file:{file}"})
    detector = recipe.detector.model_copy(update={"backbone": backbone})
    return recipe.model_copy(update={"detector": detector})


def _check_splits(recipe: DetectionRecipe, data: BoxData) -> None:
    if len(data.rows("train")) < 2:
        raise DataError(f"{data.name}: fewer than two training images")
    if recipe.training.schedule.name == "plateau" and not len(data.rows("validation")):
        raise DataError(
            f"{data.name}: the validation split is empty, which training.schedule 'plateau' looks "
            "at; set data.source.validation, or take another schedule"
        )


def _place(recipe: DetectionRecipe, data: BoxData, folder: Path) -> DetectorRun:
    """The run's key and folder.

    Raises:
        CheckpointError: when the backbone's file can't be read.
    """
    facts: dict[str, Any] = {
        "format": FORMAT,
        "seed": recipe.seed,
        "data": data.digest,
        "augment": recipe.data.augment.model_dump(mode="json"),
        "pixels": [recipe.data.mean, recipe.data.std],
        "detector": recipe.detector.model_dump(mode="json"),
        "training": recipe.training.model_dump(mode="json"),
    }
    if recipe.training.schedule.name != "plateau":  # which looks at the evaluations
        del facts["training"]["evaluate_every"]
    if (init := recipe.detector.backbone.init_from) is not None:
        path = Path(init.removeprefix("file:"))
        try:
            facts["detector"]["backbone"]["init_from"] = sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise CheckpointError(f"{path}: can't be read ({error.strerror})") from error
    key = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    where = folder / "detectors" / f"seed-{recipe.seed}-{key[:8]}"
    return DetectorRun(recipe, data, where, key)


def _describe(recipe: DetectionRecipe, data: BoxData, folder: Path) -> None:
    write_atomic(folder / "recipe.yaml", dump(recipe))
    write_atomic(folder / "environment.json", json.dumps(environment(), indent=1))
    facts = {
        "name": data.name,
        "digest": data.digest,
        "classes": list(data.classes),
        "splits": {
            split: {"images": len(data.rows(split)), "objects": data.counts(split)}
            for split in ("train", "validation", "test")
        },
    }
    write_atomic(folder / "data.json", json.dumps(facts, indent=1))
    write_problems(folder, data.problems)


def _train(run: DetectorRun, fabric: Fabric) -> None:
    recipe, data = run.recipe, run.data
    new = build.detector(recipe, data.classes)
    part = recipe.training.loss
    policy = MatchedBoxes(new.network.default_boxes, part.overlap)
    loss = partial(multibox, negatives=part.negatives, least_negatives=part.least_negatives)
    name = recipe.detector.backbone.name
    title = f"{name} detector (seed {recipe.seed})"
    rows, boxes = data.rows("train"), len(new.network.default_boxes)
    say(f"{title}: {len(rows)} images, {boxes} default boxes")
    facts = {"key": run.key, "seed": recipe.seed, "backbone": name}
    write_atomic(run.folder / "detector.json", json.dumps(facts, indent=1))
    look = _Looking(run, new.info, policy, loss, fabric.device)
    network, history = fit(
        Training(
            network=new.network,
            view=build.box_view(recipe, data, new.info, fabric.device, train=True),
            rows=rows,
            policy=policy,
            loss=loss,
            optimizer=optimizers.build(recipe.training.optimizer, new.network),
            schedule=schedules.build(recipe.training.schedule, recipe.training.epochs),
            options=recipe.training,
            engine=recipe.engine,
            seed=random.integer(recipe.seed, "training"),
            workers=recipe.data.workers,
            fabric=fabric,
            validate=look.validate,
            folder=run.folder,
            title=title,
            hits=matched_right,
        )
    )
    save_detector(run.folder / "model.safetensors", network, new.info)
    _keep(run, network, look, sum(record["seconds"] for record in history))


def _measure_again(run: DetectorRun, fabric: Fabric) -> None:
    """The measures of a trained detector under another `inference`; nothing is trained."""
    network, info = load_detector(run.folder / "model.safetensors")
    say(f"{run.folder.name}: measured anew, as inference has changed")
    seconds = json.loads((run.folder / "evaluation.json").read_text("utf-8"))["cost"]["seconds"]
    network = network.to(fabric.device)
    policy = MatchedBoxes(network.default_boxes, run.recipe.training.loss.overlap)
    _keep(run, network, _Looking(run, info, policy, multibox, fabric.device), seconds)


@dataclass(frozen=True)
class _Looking:
    """What is needed to look at a split with a detector."""

    run: DetectorRun
    info: DetectorInfo
    policy: MatchedBoxes
    loss: Loss
    device: torch.device

    def validate(self, network: nn.Module) -> Record:
        """`validation_loss`, and `validation_map11` where there is an object to find."""
        rows = self.run.data.rows("validation")
        if not len(rows):
            return {}
        losses: list[float] = []

        def look(outputs: Tensor, batch: Batch) -> None:
            """Note the loss of a batch, weighted by its images."""
            losses.append(float(self.loss(outputs, self.policy(batch))) * len(batch.labels))

        found = self.found(network, rows, look)
        result = measures(self.run.data, rows, found, coco=False)
        record = {"validation_loss": sum(losses) / len(rows)}
        return record | ({} if result["map11"] is None else {"validation_map11": result["map11"]})

    def found(
        self,
        network: nn.Module,
        rows: np.ndarray,
        look: Callable[[Tensor, Batch], None] | None = None,
    ) -> list[Found]:
        """The boxes that a detector finds."""
        recipe, data = self.run.recipe, self.run.data
        view = build.box_view(recipe, data, self.info, self.device, train=False)
        decoding, workers = build.decoding(recipe), recipe.data.workers
        return detect(network, view, rows, decoding, workers=workers, look=look)


def _keep(run: DetectorRun, network: nn.Module, look: _Looking, seconds: float) -> None:
    """Write a detector's measures; `done.json` last, as it declares the rest whole."""
    folder, data = run.folder, run.data
    result: dict[str, Any] = {}
    for split in ("train", "validation", "test"):
        rows = data.rows(split)
        if not len(rows):
            continue
        found = look.found(network, rows)
        save_found(folder / f"found-{split}.parquet", data, rows, found)
        result[split] = measures(data, rows, found)
        if split == "validation":
            _sheet(folder / "sheet.jpg", data, rows[:SHEET], found)
    size = (look.info.spec.size, look.info.spec.size)
    result["cost"] = {
        "parameters": cost.parameters(network),
        "macs": cost.macs(network, 3, size),
        "seconds": seconds,
    }
    write_atomic(folder / "evaluation.json", json.dumps(result, indent=1, allow_nan=False))
    write_atomic(folder / "done.json", json.dumps({"key": run.key, "inference": run.inference}))


def _sheet(path: Path, data: BoxData, rows: np.ndarray, found: Sequence[Found]) -> None:
    drawn = [
        draw_boxes(
            data.images.pixels(int(row)),
            each,
            data.classes,
            score=SHEET_SCORE,
            given=data.given[row],
        )
        for row, each in zip(rows, found, strict=False)
    ]
    contact_sheet(path, [Tile([np.asarray(each)], []) for each in drawn], side=SHEET_SIDE)
