"""Runs: what they leave behind, and what they share."""

import json

import pytest

from tests.recipe_files import TINY, write_tiny
from tests.running import command, finish, go, stage_folder, weights
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.keys import stage_keys
from tinyrefinery.runs.plan import Job


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder / "run", go(folder)


def test_a_run_folder_describes_itself(finished):
    folder, chain = finished
    names = {path.name for path in folder.iterdir()}
    assert {"recipe.yaml", "environment.json", "data.json", "excluded.csv", "samples.npz"} <= names
    assert load_recipe(folder / "recipe.yaml").title == "a tiny chain"
    versions = json.loads((folder / "environment.json").read_text())["versions"]
    assert versions["torch"]
    for stage in ("plain", "refined"):
        inside = {path.name for path in stage_folder(folder, stage).iterdir()}
        assert inside == {
            "stage.json",
            "metrics.jsonl",
            "metrics.csv",
            "model.safetensors",
            "evaluation.json",
            "predictions-train.parquet",
            "predictions-validation.parquet",
            "predictions-test.parquet",
            "dynamics.parquet",
            "suspects.csv",
            "done.json",
        }
    assert [generation.id for generation in chain.generations] == ["plain", "refined"]
    assert chain["refined"].refined_by == ("plain",)
    assert "label_quality" in chain[-1].evaluation


def test_predictions_recompute_to_the_written_accuracy(finished):
    from tinyrefinery.evaluation.predictions import Predictions

    folder, _ = finished
    for stage in ("plain", "refined"):
        place = stage_folder(folder, stage)
        measured = json.loads((place / "evaluation.json").read_text())
        for split in ("train", "validation", "test"):
            found = Predictions.load(place / f"predictions-{split}.parquet")
            top1 = (found.probabilities.argmax(1) == found.labels).mean()
            assert measured[split]["top1"] == pytest.approx(top1)


def test_dynamics_agree_with_the_curves(finished):
    folder, _ = finished
    for stage, epochs in (("plain", 2), ("refined", 3)):
        place = stage_folder(folder, stage)
        dynamics = load_dynamics(place / "dynamics.parquet")
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        top1 = sum(line["train_top1"] for line in lines) / epochs
        assert dynamics["visits"].to_pylist() == [epochs] * 96
        assert sum(dynamics["correct"].to_pylist()) / 96 == pytest.approx(top1)
        assert ("disagreement" in dynamics.column_names) == (stage == "refined")
    assert (place / "suspects.csv").read_text().startswith("rank,id,path,given_class")


def test_finished_stages_are_read_back(finished, tmp_path):
    folder, _ = finished
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("model.safetensors")}
    recipe = load_recipe(folder / "recipe.yaml")
    chain = run([Job(recipe)], folder)[0]
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("model.safetensors")} == before
    assert len(chain) == 2


def test_the_same_recipe_gives_the_same_weights(finished, tmp_path):
    go(tmp_path)
    for stage in ("plain", "refined"):
        assert weights(tmp_path / "run", stage) == weights(finished[0], stage)


def test_rows_share_what_they_have_in_common(tmp_path):
    path = write_tiny(tmp_path)
    soft = load_recipe(path)
    hard = load_recipe(path, ["stages.refined.labels.hard=true"])
    run([Job(soft, "soft"), Job(hard, "hard")], tmp_path / "table")
    stages = [json.loads(p.read_text()) for p in (tmp_path / "table").glob("stages/*/stage.json")]
    assert sorted((s["stage"], s["rows"]) for s in stages) == [
        ("plain", ["soft", "hard"]),
        ("refined", ["hard"]),
        ("refined", ["soft"]),
    ]


def test_rows_that_are_run_one_after_the_other_share_it_too(tmp_path):
    """What a stage is part of adds up, and is alike at every seed once all rows have run."""
    path = write_tiny(tmp_path)
    jobs = {
        row: Job(load_recipe(path, [f"stages.refined.labels.hard={row == 'hard'}".lower()]), row)
        for row in ("soft", "hard")
    }

    def rows_of_plain(*rows):
        run([jobs[row] for row in rows], tmp_path / "table")
        facts = json.loads((stage_folder(tmp_path / "table", "plain") / "stage.json").read_text())
        return facts["rows"]

    assert rows_of_plain("hard") == ["hard"]
    assert rows_of_plain("soft") == ["hard", "soft"]
    assert rows_of_plain("hard") == ["hard", "soft"]
    assert rows_of_plain("soft", "hard") == ["soft", "hard"]


def test_what_changes_weights_changes_the_key(tmp_path):
    from tinyrefinery.builders import dataset

    path = write_tiny(tmp_path)
    base = load_recipe(path)
    data = dataset(base.data)

    def keys(*overrides):
        return stage_keys(load_recipe(path, overrides), data)

    same = keys()
    for change in ("data.workers=3", "stages.plain.evaluate_every=2", "engine.threads=2"):
        assert keys(change) == same, change
    both = ("seed=1", "data.flip=0.5", "data.train_crop.area=[0.4,1.0]", "engine.precision=bf16")
    for change in (*both, "stages.plain.epochs=3", "stages.plain.optimizer.lr=0.1"):
        changed = keys(change)
        assert changed["plain"] != same["plain"], change
        assert changed["refined"] != same["refined"], change
    # The plateau schedule looks at evaluations, so then it matters how often there is one.
    plateau = "stages.plain.schedule={name: plateau}"
    assert keys(plateau) != keys(plateau, "stages.plain.evaluate_every=2")
    assert keys("stages.plain.stop={}") != keys(
        "stages.plain.stop={}", "stages.plain.stop.patience=2"
    )
    assert keys("stages.plain.stop={}", "stages.plain.evaluate_every=2") != keys(
        "stages.plain.stop={}"
    )
    assert keys("stages.refined.jitter={}")["refined"] != same["refined"]
    assert keys("stages.refined.jitter=null", "stages.refined.stop=null") == same
    changed = keys("stages.refined.labels.temperature=2")
    assert changed["plain"] == same["plain"]
    assert changed["refined"] != same["refined"]


JITTERED = """
  - id: jittered
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: plain, store: {form: compact, top: 3}}
    init_from: refined
    jitter: {step: 2.0, norm: l2, share: 0.5, clamp: true}
    optimizer: {name: sgd, lr: 0.02}
    schedule: {name: plateau}
    epochs: 4
    batch_size: 16
    stop: {patience: 1}
  - id: natural
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: plain, store: {form: compact, top: 3}}
    beside: jittered
    optimizer: {name: sgd, lr: 0.02}
    schedule: {name: constant}
    epochs: 4
    batch_size: 16
engine: {threads: 1}"""


def test_jitter_with_a_store_beside_another_and_stopped(tmp_path):
    """Labels of natural crops come from the store, three classes each; jittered ones are live."""
    text = TINY.replace("\nengine: {threads: 1}", JITTERED)
    chain = go(tmp_path, "together", text=text)
    ending = chain["jittered"].evaluation["training"]
    lines = (stage_folder(tmp_path / "together", "jittered") / "metrics.jsonl").read_text()
    figures = [json.loads(line)["validation_top1"] for line in lines.splitlines()]
    assert ending == {"epochs": len(figures), "kept_epoch": 1 + figures.index(max(figures))}
    assert chain["jittered"].validation_top1 == pytest.approx(max(figures))
    facts = json.loads((stage_folder(tmp_path / "together", "jittered") / "stage.json").read_text())
    assert facts["labels"] == "plain (stored top 3, jittered)"
    alone = text.replace("    beside: jittered\n", "")
    go(tmp_path, "alone", text=alone)
    for stage in ("jittered", "natural"):
        assert weights(tmp_path / "together", stage) == weights(tmp_path / "alone", stage), stage


def test_labels_by_taxonomy_leave_their_synsets_and_have_keys_by_content(tmp_path):
    from shutil import copytree

    from tests.labels.test_taxonomy import DATA, INDEX

    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "data.noun").write_text(DATA)
    (tmp_path / "net" / "index.noun").write_text(INDEX)
    copytree(tmp_path / "net", tmp_path / "moved")
    nouns = ["root", "c", "y", "x", "a", "b", "lone_wolf", "island", "see", "see"]
    synsets = ", ".join(f"'{digit}': {noun}.n.01" for digit, noun in enumerate(nouns))
    labels = f"{{name: taxonomy, wordnet: {tmp_path}/net, synsets: {{{synsets}}}}}"
    changes = [f"stages.plain.labels={labels}", "stages.refined=null"]
    chain = go(tmp_path, overrides=changes)
    place = stage_folder(tmp_path / "run", "plain")
    assert (place / "synsets.csv").read_text().count("recipe") == 10
    assert len((place / "similarity.csv").read_text().splitlines()) == 11
    assert len(chain) == 1
    go(tmp_path, overrides=[change.replace("/net", "/moved") for change in changes])
    assert stage_folder(tmp_path / "run", "plain") == place  # one folder: the same key
    go(tmp_path, "other", [*changes, "stages.plain.labels.temperature=0.2"])
    assert stage_folder(tmp_path / "other", "plain").name != place.name
    with pytest.raises(DataError, match=r"no synset for '0'.*labels\.synsets=\{0: cat"):
        go(tmp_path, "none", [*changes, "stages.plain.labels.synsets={}"])


def test_gray_and_colored_networks_of_the_same_files_are_told_apart(tmp_path):
    from PIL import Image

    from tinyrefinery.builders import dataset

    for label, base in (("a", 50), ("b", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (16, 16), (base, i, 0)).save(tmp_path / "photos" / label / f"{i}.png")
    source = f"data.source={{name: folder, root: {tmp_path / 'photos'}, validation: 0.4}}"
    found = []
    for channels in (1, 3):
        recipe = load_recipe(write_tiny(tmp_path), [source, f"data.source.channels={channels}"])
        found.append(stage_keys(recipe, dataset(recipe.data))["plain"])
    assert found[0] != found[1]


def test_seeds_side_by_side_give_the_same_weights(finished, tmp_path):
    recipe = load_recipe(write_tiny(tmp_path))
    jobs = [Job(recipe), Job(recipe.model_copy(update={"seed": 1}))]
    chains = run(jobs, tmp_path / "run", processes=2)
    assert [len(chain) for chain in chains] == [2, 2]
    zero = finished[0]
    for stage in ("plain", "refined"):
        name = stage_folder(zero, stage).name
        beside = tmp_path / "run" / "stages" / name / "model.safetensors"
        assert beside.read_bytes() == weights(zero, stage)


def test_rows_of_other_precision_are_trained_in_it(tmp_path):
    path = write_tiny(tmp_path)
    both = [
        Job(load_recipe(path), "full"),
        Job(load_recipe(path, ["engine.precision=bf16"]), "half"),
    ]
    run(both, tmp_path / "both")
    run(both[1:], tmp_path / "alone")
    (alone,) = (tmp_path / "alone").glob("stages/plain-*")
    files = {
        p.parent.name: p.read_bytes() for p in (tmp_path / "both").glob("stages/plain-*/model*")
    }
    assert len(set(files.values())) == 2
    assert files[alone.name] == (alone / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_two_devices_finish_a_chain_and_agree(tmp_path):
    path = write_tiny(tmp_path)
    loss = "stages.refined.loss={name: bias, scaling: running_minimum}"  # both have its minimum
    changes = ("engine.devices=2", "engine.device=cpu", "stages.refined.ema=0.9", loss)
    code, output, errors = finish(
        command("run", path, *changes, "--name", "run", cwd=tmp_path), 400
    )
    assert code == 0, errors
    assert output.count("refined") >= 1
    assert len(list(tmp_path.glob("runs/run/stages/*/done.json"))) == 2
    for stage, epochs in (("plain", 2), ("refined", 3)):
        place = stage_folder(tmp_path / "runs" / "run", stage)
        dynamics = load_dynamics(place / "dynamics.parquet").to_pydict()
        assert dynamics["visits"] == [epochs] * 96
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        top1 = sum(line["train_top1"] for line in lines) / epochs
        assert sum(dynamics["correct"]) / 96 == pytest.approx(top1, abs=0.02)  # but for ties


def test_an_ensemble_of_a_stage_and_a_file(finished, tmp_path):
    model = stage_folder(finished[0], "refined") / "model.safetensors"
    chain = go(tmp_path, overrides=[f"stages.refined.labels.by=[plain, 'file:{model}']"])
    assert chain[-1].refined_by == ("plain", f"file:{model}")


def test_a_chain_stops_by_itself_when_a_generation_no_longer_helps(tmp_path):
    chain = go(
        tmp_path,
        overrides=[
            "chain={collapse: null, stop_without_gain: true, min_gain: 0.99}",
            "stages.refined.generations=4",
        ],
    )
    assert [generation.id for generation in chain.generations] == ["plain", "refined"]


def test_training_goes_on_from_another_stages_weights(tmp_path):
    chain = go(
        tmp_path,
        overrides=["stages.refined.init_from=plain", "stages.refined.optimizer.lr=1.0e-12"],
    )
    ours, theirs = chain["refined"].network.state_dict(), chain["plain"].network.state_dict()
    for name in ours:
        if "running" not in name and "num_batches" not in name:
            assert (ours[name] - theirs[name]).abs().max() < 1e-6, name


def test_a_refiner_labels_at_its_own_size(finished, tmp_path, caplog):
    model = stage_folder(finished[0], "plain") / "model.safetensors"  # trained at 16 pixels
    caplog.set_level("INFO", "tinyrefinery")
    small = ["data.train_crop.size=12", f"stages.refined.labels.by=file:{model}"]
    go(tmp_path, "live", small)
    assert "labels each crop at its own 16x16 pixels (student: 12x12)" in caplog.text
    go(tmp_path, "stored", [*small, "stages.refined.labels.store={form: float32}"])
    assert weights(tmp_path / "live", "refined") == weights(tmp_path / "stored", "refined")
    assert "WARNING" not in caplog.text
    go(tmp_path, "student", [*small, "stages.refined.labels.refiner_size=student"])
    assert "was trained at 16x16 pixels, but labels crops of 12x12" in caplog.text
    assert weights(tmp_path / "live", "refined") != weights(tmp_path / "student", "refined")
