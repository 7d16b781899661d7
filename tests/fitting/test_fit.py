"""From pictures to an artifact, with the real converter, in a minute."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert")

from tests.deploy.export.conftest import converter  # noqa: F401  a fixture
from tinyrefinery.cli.main import app
from tinyrefinery.data.open import open_data
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.errors import BudgetError, DataError
from tinyrefinery.fitting import search, shipping
from tinyrefinery.fitting.fit_options import FitOptions
from tinyrefinery.fitting.fit_pictures import fit_pictures
from tinyrefinery.models.litert_file import LiteRtNetwork
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import Budget
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.run_folder import open_run

HOURS = 0.012


def write_shapes(root, n=60):
    """Bars, crosses and rings of any color on noise."""
    random = np.random.default_rng(0)
    for name in ("bar", "cross", "ring"):
        (root / name).mkdir(parents=True)
        for number in range(n):
            blocks = random.integers(0, 140, (5, 5, 3), dtype=np.uint8)
            pixels = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
            y, x = np.mgrid[:40, :40] - random.integers(14, 26, (2, 1, 1))
            side = random.integers(8, 15)
            drawn = {
                "bar": (abs(x) < 4) & (abs(y) < side),
                "cross": ((abs(x) < 4) & (abs(y) < side)) | ((abs(y) < 4) & (abs(x) < side)),
                "ring": abs(np.hypot(x, y) - side + 2) < 3,
            }[name]
            pixels[drawn] = random.integers(170, 256, 3)
            Image.fromarray(pixels).save(root / name / f"{number:03d}.png")
    return root


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("shapes") / "photos")


@pytest.fixture(scope="module")
def fitted(shapes, tmp_path_factory, converter):  # noqa: F811
    """The folder that the command wrote, and what it printed."""
    out = tmp_path_factory.mktemp("fit") / "out"
    words = ["fit", str(shapes), "--hours", str(HOURS), "--flash", "90kB", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return out, done.output, words


def artifact_of(out):
    (file,) = (out / "artifacts").glob("*.tflite")
    return file


def test_the_artifact_is_within_the_budget_and_reads_the_test_pictures(fitted, shapes):
    out, output, _ = fitted
    file = artifact_of(out)
    cost = device_cost(file)
    assert cost.flash <= 90_000
    assert f"{cost.flash:,} of 90,000 bytes of flash" in output
    recipe = load_recipe(out / "recipe.yaml")
    height, width = recipe.data.eval_crop.size
    data = open_data(**recipe.data.source.model_dump())
    rows = data.manifest.rows("test")
    assert len(rows) >= 30
    net = LiteRtNetwork(file, threads=1)
    right = 0
    for row in rows:
        picture = Image.fromarray(data.images.pixels(int(row)))
        small = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=None)
        found = net.infer(np.asarray(small)[None])
        right += int(found.argmax() == data.manifest.labels[row])
    stated = float(output.partition(".tflite: ")[2].partition(" %")[0])
    # Two pictures, for another implementation of resizing, and the rounding of what is stated.
    assert abs(100 * right / len(rows) - stated) <= 100 * 2 / len(rows) + 0.05
    record = json.loads(file.with_name(f"{file.name}.json").read_text())
    assert record["parity"]["agreement"] > 0.6


def test_no_network_of_the_search_was_measured_on_test_pictures(fitted):
    out, _, _ = fitted
    places = [
        *(out / "search").rglob("evaluation.json"),
        *(out / "refiner").rglob("evaluation.json"),
    ]
    searched = [path.parent.parent.parent for path in places]
    assert len(searched) >= 5
    for folder in searched:
        for stage in open_run(folder).stages:
            assert "test" not in stage.evaluation
            assert "test" not in set(stage.images().column("split").to_pylist())


def test_everything_that_a_device_needs_is_there(fitted):
    out, output, _ = fitted
    names = {path.name for path in (out / "artifacts").iterdir()}
    file = artifact_of(out)
    assert {f"{file.name}.json", f"{file.name}.vectors.npz", "card"} <= names
    assert (out / "artifacts" / f"{file.stem}-mcu" / "Makefile").exists()
    assert (out / "artifacts/card/README.md").exists()
    page = (out / "page.html").read_text()
    assert "What ships" in page
    assert file.name in page
    assert f"Page: {out / 'page.html'}" in output.replace("\n", "")


def test_what_is_planned_is_printed_before_the_first_round(fitted):
    _, output, _ = fitted
    plan = output[output.index("candidates fit") : output.index("round 1 of 3")]
    assert "planned: 3 rounds, a refiner and other crops, for at most 27 s in all" in plan
    assert "optimizer.lr" not in output
    assert "network network" not in output


@pytest.mark.slow
def test_the_same_command_trains_and_exports_nothing_again(fitted, monkeypatch):
    out, output, words = fitted
    monkeypatch.setattr(shipping, "export_network", lambda *_, **__: pytest.fail("exported again"))
    before = {path: path.read_bytes() for path in out.rglob("*.safetensors")}
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0, again.output
    assert {path: path.read_bytes() for path in out.rglob("*.safetensors")} == before
    lines = [line for line in output.splitlines() if "test pictures are right" in line]
    assert lines
    assert set(lines) <= set(again.output.splitlines())


def test_another_budget_needs_another_folder(fitted, shapes):
    out, _, _ = fitted
    with pytest.raises(DataError, match="is of another search: limits was"):
        fit_pictures(shapes, FitOptions(hours=HOURS), out)


def test_the_recipe_trains_the_same_network(fitted, tmp_path):
    out, _, _ = fitted
    done = CliRunner().invoke(
        app, ["run", str(out / "recipe.yaml"), "--runs", str(tmp_path), "--name", "again"]
    )
    assert done.exit_code == 0, done.output
    kept = json.loads((out / "fit.json").read_text())["decisions"]["network"]
    (second,) = open_run(tmp_path / "again").stages
    first, again = load_file(kept), load_file(second.network)
    assert first.keys() == again.keys()
    for name, weights in first.items():
        np.testing.assert_allclose(weights, again[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_an_interrupted_search_goes_on(shapes, tmp_path, converter, monkeypatch):  # noqa: F811
    options = FitOptions(hours=HOURS)
    train, trained = search.train_trial, []

    def interrupted(recipe, folder, data, **names):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(folder)
        return train(recipe, folder, data, **names)

    monkeypatch.setattr(search, "train_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_pictures(shapes, options, tmp_path / "out")
    weights = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.safetensors")}
    assert len(weights) == 3
    monkeypatch.setattr(search, "train_trial", train)
    found = fit_pictures(shapes, options, tmp_path / "out")
    assert found.artifact.exists()
    assert {path: path.read_bytes() for path in weights} == weights


def test_a_budget_that_nothing_fits(shapes, tmp_path, converter):  # noqa: F811
    options = FitOptions(budget=Budget(flash=2_000), hours=HOURS)
    with pytest.raises(BudgetError, match=r"no network fits the budget\. The smallest: .*flash is"):
        fit_pictures(shapes, options, tmp_path / "out")
    assert not (tmp_path / "out" / "search").exists()


def test_test_pictures_stay_unseen_by_the_refiner(fitted, tmp_path):
    """A network that learns from it may be measured on them."""
    out, _, _ = fitted
    (stage,) = open_run(out / "refiner").stages
    recipe = load_recipe(out / "recipe.yaml")
    data = open_data(**recipe.data.source.model_dump())
    column = data.manifest.column("id").tolist()
    test = {column[row] for row in data.manifest.rows("test")}
    used = {column[row] for split in ("train", "validation") for row in data.manifest.rows(split)}
    assert stage.seen() == used - test
    sketch = open_network(shutil.copy(stage.network, tmp_path / "refiner.safetensors")).seen_sketch
    assert sketch is not None
    assert not sketch.counted_used(sorted(test))
    assert len(sketch.counted_used(sorted(used))) == len(used)
