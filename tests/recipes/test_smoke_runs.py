"""Every shipped recipe and table runs with --smoke, from crops to report."""

import csv

import pytest
from typer.testing import CliRunner

from tinyrefinery.cli.main import app
from tinyrefinery.recipe.detection import is_detection
from tinyrefinery.recipe.shipped import recipes_in, shipped_folder
from tinyrefinery.recipe.table import is_table, load_table

DETECTORS = [path for path in recipes_in(shipped_folder()) if is_detection(path)]
FILES = [path for path in recipes_in(shipped_folder()) if path not in DETECTORS]
# Minutes each: all networks of Label Refinery, or several of those made for ImageNet.
SLOW = {f"label_refinery/{name}.yaml" for name in ("imagenet", "cifar10", "imagenette")}
SLOW |= {f"label_refinery/{name}.yaml" for name in ("tiny_imagenet", "street")}
SLOW |= {f"label_refinery/table{number}.yaml" for number in range(1, 8)}


def cases() -> list:
    """Every recipe and table, and every table at the first of its scales.

    The other scales differ in networks and data only, and their recipes are run as such.
    """
    found = []
    for path in FILES:
        name = path.relative_to(shipped_folder()).as_posix()
        marks = [pytest.mark.slow] if name in SLOW else []
        found.append(pytest.param(path, None, id=name, marks=marks))
        for scale in [*load_table(path).scales][:1] if is_table(path) else []:
            slow = [pytest.mark.slow] if name == "label_refinery/table2.yaml" else []
            found.append(pytest.param(path, scale, id=f"{name}-{scale}", marks=slow))
    return found


@pytest.mark.parametrize(("path", "scale"), cases())
def test_smoke(path, scale, tmp_path):
    command = ["reproduce", str(path), "--seeds", "1"] if is_table(path) else ["run", str(path)]
    command += ["--scale", scale] if scale else []
    done = CliRunner().invoke(app, [*command, "--smoke", "--runs", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (folder,) = tmp_path.iterdir()
    assert (folder / "report.html").stat().st_size > 10_000
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(0 <= float(row["test_top1"]) <= 1 for row in rows)


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
