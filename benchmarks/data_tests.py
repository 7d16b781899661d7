"""Fifty data tests of 100,000 images from stored predictions, and the size of a page of pictures.

The images are files of one byte, since nothing reads them: the command looks at their names and
times only. The page's pictures are drawn: smooth scenes of 640 x 480 pixels with the noise of a
camera, shrunk to 96 x 96 for what the network sees.
"""

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import yaml
from PIL import Image
from timing import Figure, core_seconds, quick, report

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data_tests.data_test_file import Suite
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.reports import page
from tinyrefinery.data_tests.reports.records import Facts
from tinyrefinery.data_tests.rows import rows_of
from tinyrefinery.evaluation.prediction_table import ModelPredictions
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.networks import network_data as network_data
from tinyrefinery.networks.opening import open_network

SCENES = np.array(["hall", "porch", "room", None], dtype=object)
IMAGES, TESTS, CLASSES, PICTURES = 100_000, 50, 10, 500
LIMIT = 5.0
"""Seconds that the tests may take."""
LARGEST = 3.0
"""Megabytes that the page may have."""
NAMES = tuple(f"class_{i}" for i in range(CLASSES))
RECIPE = """
title: many
data:
  source: {{name: folder, root: {root}}}
  train_crop: {{name: inception, size: 16, area: [0.5, 1.0]}}
stages:
  - id: plain
    model: {{name: resnet8}}
    optimizer: {{name: sgd, lr: 0.05}}
    schedule: {{name: cosine}}
    epochs: 2
    batch_size: 16
"""


def manifest(root: Path, count: int) -> Manifest:
    """Rows of test images with metadata."""
    random = np.random.default_rng(0)
    return Manifest(
        pa.table(
            {
                "id": [sha256(str(i).encode()).hexdigest() for i in range(count)],
                "path": [f"{root}/{i // 1000:03d}/{i:06d}.jpg" for i in range(count)],
                "label": random.integers(0, CLASSES, count),
                "split": ["test"] * count,
                "distance_m": random.uniform(0, 12, count),
                "brightness": random.uniform(0, 255, count),
                "scene": random.choice(SCENES, count).tolist(),
                "pose": random.choice(["front", "back", "side"], count).tolist(),
            }
        ),
        NAMES,
    )


def predictions(rows: Manifest) -> Predictions:
    """A network that is right in about nine of ten images."""
    random = np.random.default_rng(1)
    logits = random.normal(size=(len(rows), CLASSES)).astype(np.float32)
    logits[np.arange(len(rows)), rows.labels] += 3
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    ids = rows.column("id")
    return Predictions(ids, np.arange(len(rows)), rows.labels, shares, NAMES)


def tests(count: int) -> dict:
    """Slices of all kinds."""
    made = {}
    for i in range(count):
        where = [
            f"label = 'class_{i % CLASSES}' AND distance_m > {i % 9}",
            f"brightness BETWEEN {i} AND {i + 100} AND scene IN ('hall', 'porch')",
            f"pose <> 'back' AND (scene IS NULL OR distance_m < {1 + i % 9})",
            f"path LIKE '%/0{i % 10}%/%' OR brightness < {40 + i}",
        ][i % 4]
        bounds = [
            {"metric": f"recall(class_{i % CLASSES})" if i % 4 == 0 else "accuracy"},
            {"metric": f"false_positive_rate(class_{(i + 1) % CLASSES})"},
        ][i % 2]
        bound = {"at_least": 0.85} if i % 2 == 0 else {"at_most": 0.05}
        made[f"test_{i}"] = {"where": where, **bounds, **bound}
    return made


def write_run(folder: Path, count: int) -> None:
    """A run folder with stored predictions, and the files of its images."""
    root = folder / "photos"
    rows = manifest(root, count)
    for path in rows.column("path"):
        place = Path(path)
        if not place.parent.exists():
            place.parent.mkdir(parents=True)
        place.write_bytes(b"x")
    stage = folder / "run" / "stages" / "plain-01234567"
    stage.mkdir(parents=True)
    (folder / "run" / "recipe.yaml").write_text(RECIPE.format(root=root))
    facts = {"stage": "plain", "key": "0123456789", "kind": "classifier", "seed": 0, "rows": []}
    facts |= {"model": "resnet8", "labels": "ground truth", "data": "0123456789abcdef"}
    (stage / "stage.json").write_text(json.dumps(facts))
    (stage / "evaluation.json").write_text("{}")
    (stage / "done.json").write_text("{}")
    entry = json.dumps({"classes": NAMES, "channels": 3})
    header = json.dumps({"__metadata__": {"tinyrefinery": entry}}).encode()
    (stage / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    predictions(rows).save(stage / "predictions-test.parquet")
    (folder / "data_tests.yaml").write_text(yaml.safe_dump({"tests": tests(TESTS)}))
    # As after the first command: the manifest is kept, so that no image needs to be decoded.
    network = open_network(folder / "run")
    opened = type("Opened", (), {"manifest": rows})
    network_data.open_source = lambda source: opened
    network_data.open_network_data([network])


def command(folder: Path) -> tuple[float, float]:
    """Seconds of the whole command on the wall, and its core-seconds."""
    words = [sys.executable, "-m", "tinyrefinery", "test", "run", "data_tests.yaml"]
    before, began = core_seconds(), time.perf_counter()
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    wall = time.perf_counter() - began
    assert ended.returncode in (0, 1), ended.stderr
    assert " PASS" in ended.stdout, ended.stdout
    return wall, core_seconds() - before


@lru_cache
def scene(row: int, height: int, width: int) -> np.ndarray:
    """A smooth scene with a little noise, uint8 (height, width, 3)."""
    random = np.random.default_rng(row)
    coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth + random.normal(0, 4, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def page_size() -> float:
    """Megabytes of a page with `PICTURES` images, each as its source and as a network sees it."""
    rows = rows_of(manifest(Path("photos"), 4000))
    said = ModelPredictions("network", predictions(manifest(Path("photos"), 4000)).probabilities)
    many = {f"t{i}": {"where": f"brightness < {80 + i}", "at_least": 0.99} for i in range(25)}
    results = [replace(r, worst=r.worst[:20]) for r in judge(_suite(many), rows, said)]
    facts = Facts("data_tests.yaml", "", "network", "", None, "folder", "", 4000, "")

    def look(_: object, row: int) -> tuple[np.ndarray, np.ndarray]:
        source = scene(row % 50, 480, 640)
        return source, np.asarray(Image.fromarray(source).resize((96, 96)))

    html = page.render(facts, results, rows, lambda _: said.probabilities, look)
    assert html.count('<figure class="picture">') == PICTURES
    return len(html.encode()) / 1e6


def _suite(many: dict) -> Suite:
    return Suite.model_validate({"tests": many})


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    with TemporaryDirectory() as place:
        write_run(Path(place), IMAGES // 10 if short else IMAGES)
        command(Path(place))  # fills the file cache
        runs = [command(Path(place)) for _ in range(2 if short else 3)]
    size = page_size()
    what = f"{TESTS} tests of {IMAGES // 10 if short else IMAGES:,} images"
    figures = [
        Figure(what, "s on the wall", [wall for wall, _ in runs]),
        Figure(what, "core-s", [used for _, used in runs]),
        Figure(f"page of {PICTURES} pictures", "MB", [size]),
    ]
    aim = f"aim: below {LIMIT:g} s and {LARGEST:g} MB"
    report(f"Data tests ({aim})", figures, keep=not short)


if __name__ == "__main__":
    main()
