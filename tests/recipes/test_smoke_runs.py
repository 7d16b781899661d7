"""Every shipped recipe and table runs with --smoke, from crops to report."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.recipe_files import is_detector_table
from tinyrefinery.cli.main import app
from tinyrefinery.recipe.detection import is_detection
from tinyrefinery.recipe.latency_table import is_latency_table
from tinyrefinery.recipe.shipped import recipes_in, shipped_folder
from tinyrefinery.recipe.table import at_scale, is_table, load_table

DETECTORS = [path for path in recipes_in(shipped_folder()) if is_detection(path)]
DETECTOR_TABLES = [path for path in recipes_in(shipped_folder()) if is_detector_table(path)]
LATENCIES = [path for path in recipes_in(shipped_folder()) if is_latency_table(path)]
OTHERS = (*DETECTORS, *DETECTOR_TABLES, *LATENCIES)
FILES = [path for path in recipes_in(shipped_folder()) if path not in OTHERS]
# Minutes each: all networks of Label Refinery, or several of those made for ImageNet.
SLOW = {f"label_refinery/{name}.yaml" for name in ("imagenet", "cifar10", "imagenette")}
SLOW |= {f"label_refinery/{name}.yaml" for name in ("tiny_imagenet", "street")}
SLOW |= {f"label_refinery/table{number}.yaml" for number in range(1, 8)}
SLOW |= {"label_refinery/replication_full.yaml", "binary/cifar10.yaml", "transfer/food101.yaml"}
SLOW |= {"transfer/food101_skipblocknet.yaml", "bias_loss/start_mobilenet_v1.yaml"}
SLOW |= {"label_refinery/street_refiners.yaml", "label_refinery/imagenette_crops.yaml"}
SLOW |= {"binary/cifar10_small.yaml", "starter/zoo.yaml"}
SLOW |= {"starter/imagenette.yaml", "starter/cifar10.yaml"}  # much as the one of a folder
SLOW_SCALES = ("label_refinery/table2.yaml", "label_refinery/replication.yaml")
SLOW_SCALES += ("label_refinery/replication_svhn.yaml",)


MOST_ROWS = 4
"""Of a table that the fast tests run whole; of longer ones they run the first and the last."""


def cases() -> list:
    """Every recipe and table, and every table at the first of its scales.

    The other scales differ in networks and data only, and their recipes are run as such.
    """
    found = []
    for path in FILES:
        name = path.relative_to(shipped_folder()).as_posix()
        if not is_table(path):
            found.append(case(name, path, slow=name in SLOW))
            continue
        table = load_table(path)
        for scale in (None, *[*table.scales][:1]):
            ids = [row.id for row in at_scale(table, scale, path).rows]
            # At the paper's own scale, a table that has others runs with the slow tests.
            slow = name in SLOW_SCALES if scale else name in SLOW or bool(table.scales)
            long = len(ids) > MOST_ROWS
            found.append(case(name, path, scale, slow=slow or long))
            if long and not slow:
                found.append(case(name, path, scale, (ids[0], ids[-1])))
    return found


def case(name: str, path: Path, scale: str | None = None, rows: tuple = (), *, slow: bool = False):
    label = "-".join(filter(None, (name, scale, *rows)))
    return pytest.param(path, scale, rows, id=label, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("path", "scale", "rows"), cases())
def test_smoke(path, scale, rows, tmp_path):
    command = ["reproduce", str(path), "--seeds", "1"] if is_table(path) else ["run", str(path)]
    command += ["--scale", scale] if scale else []
    command += [word for row in rows for word in ("--row", row)]
    done = CliRunner().invoke(app, [*command, "--smoke", "--runs", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (folder,) = tmp_path.iterdir()
    assert (folder / "report.html").stat().st_size > 10_000
    with (folder / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert lines
    assert all(0 <= float(line["test_top1"]) <= 1 for line in lines)


@pytest.mark.parametrize("path", DETECTORS, ids=lambda p: p.stem)
def test_smoke_of_a_detector(path, tmp_path):
    pytest.importorskip("pycocotools")
    command = ["detect", "train", str(path), "--smoke", "--runs", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (folder,) = tmp_path.iterdir()
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert all(0 <= float(row["map11"]) <= 1 for row in rows)


@pytest.mark.parametrize("path", DETECTOR_TABLES, ids=lambda p: p.stem)
def test_smoke_of_a_table_of_detectors(path, tmp_path):
    pytest.importorskip("pycocotools")
    command = ["reproduce", str(path), "--smoke", "--seeds", "1", "--runs", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (folder,) = tmp_path.iterdir()
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == [row.id for row in load_table(path).rows]
    assert all(0 <= float(row["map11"]) <= 100 and row["n"] == "1" for row in rows)


@pytest.mark.parametrize("path", LATENCIES, ids=lambda p: p.stem)
def test_smoke_of_a_table_of_latencies(path, tmp_path):
    command = ["latency", str(path), "--smoke", "--backend", "torch", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "latency.csv").exists()
    assert "Pixel 4" in done.output
