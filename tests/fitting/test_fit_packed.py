"""A binary network ships as a packed file, measured in its own runtime."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from tests.fitting.test_look import CLASSES, write_pictures
from tinyrefinery.cli.main import app
from tinyrefinery.data.open import open_data
from tinyrefinery.deploy.costs.packed_costs import packed_file_cost
from tinyrefinery.errors import RefineryError
from tinyrefinery.execution.execute import run
from tinyrefinery.fitting import shipping
from tinyrefinery.fitting.delivered import Delivered
from tinyrefinery.fitting.fit_options import PACKED, USUAL
from tinyrefinery.fitting.fit_outcome import costs, drop_line, gain_line, next_commands
from tinyrefinery.fitting.fit_page import write_page
from tinyrefinery.fitting.fit_pictures import open_for_fit
from tinyrefinery.fitting.fit_recipes import Plan
from tinyrefinery.fitting.look import look_at
from tinyrefinery.fitting.packed_space import PACKED_FAMILIES, foretold_packed
from tinyrefinery.fitting.search_space import Candidate
from tinyrefinery.fitting.shipping import measured, ship, shipped_before
from tinyrefinery.models.packed_file import PackedNetwork
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import Budget
from tinyrefinery.packed.packed_runtime import NUMPY
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job
from tinyrefinery.runs.run_folder import open_run

SIZE = (16, 16)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained network, its pictures, and what shipped of it."""
    folder = tmp_path_factory.mktemp("packed")
    root = write_pictures(folder / "photos", dict.fromkeys(CLASSES, 24), SIZE)
    source, data = open_for_fit(root, [])
    family = PACKED_FAMILIES[0]
    cost = foretold_packed(data.classes, 3)(family, 0.25, SIZE)
    candidate = Candidate(family.name, family.model, family.options(0.25), SIZE, cost)
    run([Job(Plan(source, look_at(data), 0).of_candidate(candidate, 1))], folder / "run", data=data)
    network, said = open_network(folder / "run"), []
    shipped = ship(network, data, PACKED, USUAL, folder / "artifacts", said.append)
    return SimpleNamespace(
        **{"folder": folder, "network": network, "data": data, "candidate": candidate},
        **{"shipped": shipped, "said": said},
    )


def delivered(made):
    return Delivered(
        **{"folder": made.folder, "look": look_at(made.data), "limits": USUAL.limits},
        **{"network": made.network, "architecture": made.candidate.name, "epochs": 1},
        **{"shipped": made.shipped, "notes": (), "data": made.data, "name": "photos"},
    )


def test_the_packed_file_is_measured_on_the_test_pictures(made):
    exported, predictions = made.shipped.exported, made.shipped.predictions
    assert exported.passed
    assert exported.path.suffix == ".packed"
    assert exported.parity.images.endswith("validation images")
    assert made.shipped.vectors > 0
    rows = made.data.manifest.rows("test")
    pixels = np.stack([made.data.images.pixels(int(row)) for row in rows])  # of their own size
    logits = PackedNetwork(exported.path, variant=NUMPY).infer(pixels)
    by_id = dict(zip(made.data.manifest.column("id")[rows], logits.argmax(1), strict=True))
    assert [by_id[name] for name in predictions.ids] == predictions.probabilities.argmax(1).tolist()
    assert made.said[-1] == "timing the packed network against float"


def test_its_cost_is_stated_and_within_what_was_foretold(made):
    found, cost = packed_file_cost(made.shipped.exported.path), made.candidate.cost
    assert found.flash <= cost.flash
    assert (found.ram, found.macs) == (cost.ram, cost.macs)
    assert [str(each) for each in costs(delivered(made))] == [
        f"{found.flash:,} of 100,000 bytes of flash",
        f"{found.ram:,} of 64,000 bytes of RAM",
        f"{found.macs:,} multiply-accumulates of bits and of numbers",
    ]
    card = (made.folder / "artifacts/card/README.md").read_text()
    assert f"| {found.flash:,} | {found.ram:,} | {found.macs:,} |" in card


def test_words_and_page_are_of_a_packed_network(made):
    fitted = delivered(made)
    assert drop_line(fitted).startswith("packing changes the accuracy by ")
    assert gain_line(fitted).startswith(("Packed: yes; ", "Packed: no: "))
    commands = [command.split()[1] for command, _ in next_commands(fitted)]
    assert commands == ["predict", "verify", "mine", "audit", "summary", "run"]
    none = {"report": "", "lines": [], "gains": [], "truth": False}
    page = write_page("run.html.j2", fitted, title="photos", **none).read_text()
    assert "<dt>Packing</dt>" in page
    assert f"<dt>Packed</dt><dd>{made.shipped.gain}</dd>" in page
    assert not any(word in page for word in ("int8", "Quantization", "For firmware"))


def test_a_finished_search_packs_and_times_nothing_again(made, monkeypatch):
    for name in ("export_network", "packed_gain"):
        monkeypatch.setattr(shipping, name, lambda *_, **__: pytest.fail("made again"))
    kept = json.loads(json.dumps(measured(made.shipped)))
    again = shipped_before(kept, made.network, made.data, made.folder / "artifacts")
    assert again is not None
    assert (again.gain, again.vectors) == (made.shipped.gain, made.shipped.vectors)
    assert again.is_packed
    assert (again.predictions.probabilities == made.shipped.predictions.probabilities).all()


def test_a_packed_file_over_the_budget_does_not_ship(made, tmp_path):
    with pytest.raises(RefineryError, match=r"the packed artifact .* flash is .* budget of 9,000"):
        ship(made.network, made.data, PACKED, Budget(flash=9_000), tmp_path, print)
    assert not list(tmp_path.glob("*.packed"))


@pytest.mark.slow
def test_from_pictures_to_a_packed_file_without_onnx_and_litert(tmp_path):
    root, out = tmp_path / "photos", tmp_path / "out"
    write_pictures(root, dict.fromkeys(CLASSES, 24), (24, 24))
    blocked = "import sys; sys.modules |= dict.fromkeys(['onnx', 'onnxruntime', 'ai_edge_litert'])"
    words = ["fit", str(root), "--to", "packed", "--hours", "0.002", "--out", str(out)]
    code = f"{blocked}; from tinyrefinery.cli.main import app; app({words!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (artifact,) = (out / "artifacts").glob("*.packed")
    assert artifact.stat().st_size <= 100_000
    page = (out / "page.html").read_text()
    assert "foretold before training" in page
    assert "int8" not in page
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0, again.output
    lines = [line for line in done.stdout.splitlines() if line[:6] != "Page: "]
    assert set(lines) <= set(again.stdout.splitlines())
    recipe = load_recipe(out / "recipe.yaml")
    assert len(open_data(**recipe.data.source.model_dump()).manifest.rows("test"))
    repeat = ["run", str(out / "recipe.yaml"), "--runs", str(tmp_path), "--name", "again"]
    assert CliRunner().invoke(app, repeat).exit_code == 0
    kept = json.loads((out / "fit.json").read_text())["decisions"]["network"]
    first, second = load_file(kept), load_file(open_run(tmp_path / "again").stages[0].network)
    for name, weights in first.items():
        np.testing.assert_allclose(weights, second[name], rtol=1e-3, atol=1e-4, err_msg=name)
