"""Detectors trained, interrupted, looked at again: the run folder as a whole."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.detection.tiny_detector import TINY, digest, measured, run_detection, tiny
from tests.detection.voc_files import sound, write
from tinyrefinery.detection.build import box_data
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.models import create
from tinyrefinery.models.network_file import save_network
from tinyrefinery.recipe.detection import Shapes, load_detection
from tinyrefinery.reports.detectors import write_detector_results
from tinyrefinery.runs.keys import detector_key
from tinyrefinery.runs.plan import run_folder
from tinyrefinery.runs.run_folder import open_run

pytest.importorskip("pycocotools")


def test_the_folder_is_whole(trained):
    runs, folder = trained
    assert [(run.stage, run.kind, run.seed) for run in runs] == [
        ("detector", "detector", 0),
        ("detector", "detector", 1),
    ]
    assert open_run(folder).stages == tuple(runs)
    names = {path.name for path in runs[0].folder.iterdir()}
    assert names == {
        "stage.json",
        "metrics.jsonl",
        "metrics.csv",
        "model.safetensors",
        "evaluation.json",
        "sheet.jpg",
        "done.json",
        *(f"found-{split}.parquet" for split in ("train", "validation", "test")),
    }
    data = json.loads((folder / "data.json").read_text())
    assert data["classes"] == ["disc", "square", "triangle"]
    assert data["splits"]["train"]["images"] == 20
    assert load_detection(folder / "recipe.yaml") == tiny()
    lines = (runs[0].folder / "metrics.jsonl").read_text().splitlines()
    assert [("validation_loss" in json.loads(line)) for line in lines] == [False, True, True]
    assert digest(runs[0].folder) != digest(runs[1].folder)


def test_its_images_are_kept_with_their_splits(trained):
    runs, _ = trained
    data = box_data(tiny().data.source)
    images = runs[0].images()
    assert images.column("id").to_pylist() == list(data.ids)
    assert images.column("split").to_pylist() == data.splits.tolist()
    held_out = {data.ids[row] for row in data.rows("test")}
    assert runs[0].seen() == set(data.ids) - held_out
    assert (runs[0].outside, runs[0].unknown_origin) == ((), ())


def test_what_was_measured_is_what_was_found(trained):
    runs, folder = trained
    again = measured(folder, "inference.most=200")
    assert again[0]["test"] == runs[0].evaluation["test"]
    data = box_data(tiny().data.source)
    rows = data.rows("test")
    found = pq.read_table(runs[0].folder / "found-test.parquet")
    row, score = (found.column(name).to_numpy() for name in ("row", "score"))
    assert len(row)
    assert set(row) <= set(rows)
    assert all((np.diff(score[row == image]) <= 0).all() for image in rows)
    fewer = measured(folder, "inference.score=0.9999")
    assert fewer[0]["test"]["map11"] == 0


def test_a_second_time_nothing_is_trained(trained, monkeypatch):
    runs, folder = trained
    before = (runs[0].folder / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr("tinyrefinery.detection.detector_run.fit", None)
    run_detection(tiny(), folder, seeds=2)
    assert (runs[0].folder / "model.safetensors").stat().st_mtime_ns == before


def test_other_inference_is_measured_anew_and_nothing_trained(trained, tmp_path, monkeypatch):
    """Weights don't depend on thresholds, but what is kept of found boxes does."""
    folder = tmp_path / "same"
    shutil.copytree(trained[1], folder)
    monkeypatch.setattr("tinyrefinery.detection.detector_run.fit", None)
    (before, *_) = open_run(folder).stages
    (after, *_) = run_detection(tiny("inference.score=0.9999"), folder, seeds=2)
    assert before.folder == after.folder
    assert digest(before.folder) == digest(trained[0][0].folder)
    assert after.evaluation["test"] == measured(trained[1], "inference.score=0.9999")[0]["test"]
    assert after.evaluation["test"] != before.evaluation["test"]
    assert after.evaluation["cost"] == before.evaluation["cost"]
    assert pq.read_table(after.folder / "found-test.parquet").num_rows == 0
    written = (after.folder / "evaluation.json").stat().st_mtime_ns
    run_detection(tiny("inference.score=0.9999"), folder, seeds=2)
    assert (after.folder / "evaluation.json").stat().st_mtime_ns == written


def test_the_key_follows_from_what_weights_depend_on():
    data = box_data(tiny().data.source).digest
    key = detector_key(tiny(), data)
    for same in ("engine.threads=2", "inference.score=0.3", "data.workers=3", "title=x"):
        assert detector_key(tiny(same), data) == key, same
    others = ("seed=1", "training.epochs=4", "detector.size=96", "data.augment.flip=0")
    for other in (*others, "training.loss.negatives=2", "data.mean=[0.5, 0.5, 0.5]"):
        assert detector_key(tiny(other), data) != key, other
    less = box_data(Shapes(train=19, validation=6, test=6, side=64))
    assert detector_key(tiny(), less.digest) != key


def test_folders_are_named_by_the_recipe_whatever_the_seed():
    assert run_folder(Path("r"), "x", tiny()) == run_folder(Path("r"), "x", tiny("seed=5"))


def test_workers_change_nothing(trained, tmp_path):
    runs, _ = trained
    (run,) = run_detection(tiny("data.workers=2"), tmp_path / "threads")
    assert digest(run.folder) == digest(runs[0].folder)


class StoppedError(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize("after", [1, 2])
def test_an_interrupted_training_ends_with_the_same_weights(trained, tmp_path, monkeypatch, after):
    from tinyrefinery.training import state

    runs, _ = trained
    written = state.SavedState.write
    count = 0

    def write_and_stop(self, now):
        nonlocal count
        written(self, now)
        count += 1
        if count == after:
            raise StoppedError

    monkeypatch.setattr(state.SavedState, "write", write_and_stop)
    with pytest.raises(StoppedError):
        run_detection(tiny(), tmp_path / "cut")
    assert list((tmp_path / "cut").glob("stages/*/state.pt"))
    monkeypatch.setattr(state.SavedState, "write", written)
    (run,) = run_detection(tiny(), tmp_path / "cut")
    assert digest(run.folder) == digest(runs[0].folder)
    assert not list((tmp_path / "cut").glob("stages/*/state.pt"))


@pytest.mark.slow
def test_kill_9_and_the_same_command(tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.replace("epochs: 3", "epochs: 12"))
    command = [sys.executable, "-m", "tinyrefinery", "detect", "train", str(recipe)]
    command += ["engine.checkpoint_every_steps=1", "--name"]

    def start(name):
        where = ["--runs", str(tmp_path)]
        return subprocess.Popen([*command, name, *where], stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    victim = start("cut")
    while not list((tmp_path / "cut").glob("stages/*/state.pt")):
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not list((tmp_path / "cut").glob("stages/*/done.json"))
    assert start("cut").wait() == 0
    (whole,), (cut,) = (list((tmp_path / n).glob("stages/*")) for n in ("whole", "cut"))
    assert digest(whole) == digest(cut)


def test_images_that_the_backbone_was_trained_on_are_no_test_images(tmp_path, monkeypatch, caplog):
    recipe = tiny()
    data = box_data(recipe.data.source)
    test = [data.ids[row] for row in data.rows("test")]
    seen = frozenset(test[:2])
    monkeypatch.setattr("tinyrefinery.detection.detector_run.seen_outside", lambda step, ids: seen)
    (stage,) = run_detection(recipe, tmp_path / "runs")
    assert stage.evaluation["test"]["images"] == len(test) - 2
    assert f"2 of {len(test)} test images are left out" in caplog.text


def test_a_backbone_from_a_file(tmp_path):
    torch.manual_seed(5)
    network = create("resnet8", 4, size=96, stem="imagenet")
    path = tmp_path / "backbone.safetensors"
    facts = {"classes": list("abcd"), "size": (96, 96), "channels": 3}
    facts |= {"mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3]}
    save_network(path, network, name="resnet8", kwargs={"stem": "imagenet"}, **facts)
    from tinyrefinery.detection.build import detector

    new, info = detector(tiny(f"detector.backbone.init_from=file:{path}"), ("x", "y"))
    assert (info.mean, info.built_for) == ((0.4, 0.4, 0.4), (96, 96))
    own = dict(new.backbone.named_parameters())
    assert own
    for name, weights in network.named_parameters():
        if name in own:
            assert torch.equal(own[name], weights)
    with pytest.raises(CheckpointError, match=r"holds a resnet8 .*not a resnet18"):
        detector(tiny(f"detector.backbone={{name: resnet18, init_from: 'file:{path}'}}"), ("x",))
    with pytest.raises(CheckpointError, match="can't be read"):
        run_detection(tiny("detector.backbone.init_from=file:none.safetensors"), tmp_path / "runs")


def test_the_key_follows_from_the_bytes_of_the_backbone(tmp_path):
    keys = set()
    for content in (b"one", b"two"):
        (tmp_path / "b").write_bytes(content)
        recipe = tiny(f"detector.backbone.init_from=file:{tmp_path / 'b'}")
        keys.add(detector_key(recipe, "data"))
    assert len(keys) == 2


def test_results_have_a_line_a_seed_and_split(trained):
    _, folder = trained
    with write_detector_results(open_run(folder)).open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["seed"], r["split"]) for r in rows] == [
        (str(seed), split) for seed in (0, 1) for split in ("train", "validation", "test")
    ]
    assert all(0 <= float(r["map11"]) <= 1 and float(r["parameters"]) > 0 for r in rows)


def test_sets_that_nothing_can_be_learned_from(tmp_path):
    source = "data.source={name: shapes, train: 1, validation: 6, test: 0, side: 64}"
    with pytest.raises(DataError, match="fewer than two training images"):
        run_detection(tiny(source), tmp_path / "one")
    files = {k: v for k, v in sound().items() if not k.startswith("ImageSets")}
    root = write(tmp_path / "voc", files)
    source = f"data.source={{name: voc, root: {root}, validation: 0}}"
    plateau = "training.schedule={name: plateau, patience: 1}"
    with pytest.raises(DataError, match=r"the validation split is empty.*'plateau'"):
        run_detection(tiny(source, plateau), tmp_path / "plateau")


@pytest.mark.slow
def test_it_learns_to_find_shapes(tmp_path):
    recipe = tiny(
        "data.source={name: shapes, train: 160, validation: 30, test: 30, side: 64}",
        "data.augment.zoom_out=null",
        "training.optimizer={name: adamw, lr: 0.003}",
        "training.epochs=25",
        "training.ema=null",
        "detector.strides=[8, 16]",
        "detector.extra=[32, 32]",
    )
    (run,) = run_detection(recipe, tmp_path / "learn")
    found = json.loads((run.folder / "evaluation.json").read_text())
    assert found["test"]["map11"] > 0.4
