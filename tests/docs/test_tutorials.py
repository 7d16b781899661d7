"""The commands of a tutorial do what it says, at a small size, on real and on drawn pictures."""

import csv
import io
import json
import shlex
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.deploy.export.conftest import converter  # noqa: F401  a fixture
from tests.docs.test_commands import DOCS, commands_of
from tests.real import real_data
from tinyrefinery.cli.main import app

PAGE = DOCS / "doorbell.md"
EACH = 40
"""Pictures per class."""
SMALL = {"--hours 1": "--hours 0.004", "bench ": "bench --passes 1 "}
"""What the test changes about the commands, so that they end in a minute."""


def drawn(folder: Path) -> list[tuple[str, str, str]]:
    """Bright upright figures on noise, and noise alone: file, class, visit."""
    random = np.random.default_rng(0)
    listed = []
    for number in range(2 * EACH):
        name = ("no_person", "person")[number % 2]
        blocks = random.integers(0, 120, (16, 8, 3), dtype=np.uint8)
        pixels = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
        if name == "person":
            x, top = random.integers(16, 40), random.integers(10, 30)
            pixels[top : top + 16, x + 2 : x + 10] = random.integers(180, 256, 3)
            pixels[top + 16 : top + 90, x : x + 12] = random.integers(180, 256, 3)
        file = f"{name}/{number:04d}.png"
        Image.fromarray(pixels).save(folder / file)
        listed.append((file, name, f"visit-{number // 4}"))
    return listed


def photographed(folder: Path) -> list[tuple[str, str, str]]:
    """The first pictures of each class of real crops: file, class, visit."""
    table = pq.read_table(real_data("person_crops/all.parquet"))
    facts = json.loads(table.schema.metadata[b"huggingface"])
    names = facts["info"]["features"]["label"]["names"]
    left, listed = dict.fromkeys(names, EACH), []
    for row in table.slice(0, 400).to_pylist():
        name = names[row["label"]]
        if left[name]:
            left[name] -= 1
            file = f"{name}/{left[name]:04d}.jpg"
            Image.open(io.BytesIO(row["image"]["bytes"])).save(folder / file, quality=90)
            listed.append((file, name, row["group"]))
    return listed


@pytest.fixture(params=[drawn, pytest.param(photographed, marks=pytest.mark.slow)])
def home(request, tmp_path, monkeypatch):
    """A folder with pictures as the tutorial has them."""
    for name in ("person", "no_person"):
        (tmp_path / "doorbell" / name).mkdir(parents=True)
    listed = request.param(tmp_path / "doorbell")
    with (tmp_path / "doorbell/metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "label", "group"), *listed])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arguments(line: str, folder: Path) -> list[str]:
    """The words of a command after `tinyrefinery`, with patterns expanded as a shell does."""
    for whole, small in SMALL.items():
        line = line.replace(whole, small)
    words = []
    for word in shlex.split(line)[1:]:
        found = [str(path.relative_to(folder)) for path in folder.glob(word)] if "*" in word else []
        assert found or "*" not in word, f"{word}: no such file"
        words += found or [word]
    return words


def test_the_doorbell_tutorial_ends_in_a_file_within_its_budget(home, converter):  # noqa: F811
    lines = [line for place, line in commands_of(PAGE) if ":" in place]
    commands = [line.split()[1] for line in lines]
    assert commands == ["audit", "fit", "verify", "bench", "predict"]
    for line in lines:
        result = CliRunner().invoke(app, arguments(line, home))
        allowed = (0, 1) if line.split()[1] == "audit" else (0,)  # 1: splits share pictures
        assert result.exit_code in allowed, f"{line}: {result.output}"
    (artifact,) = (home / "fit/doorbell/artifacts").glob("*.tflite")
    assert artifact.stat().st_size <= 96_000
    assert (home / "fit/doorbell/page.html").exists()
    assert (home / "audit/audit.html").exists()
    assert [path.name for path in artifact.parent.glob("*-mcu")] == [f"{artifact.stem}-mcu"]
