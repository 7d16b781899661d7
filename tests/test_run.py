"""Runs: what they leave behind, what they share, and that nothing kills them for good."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from tests.recipe_files import TINY, write_tiny
from tinyrefinery.errors import ChainError, CheckpointError, DataError, RecipeError
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe_run import Job, RecipeRun
from tinyrefinery.run import run


def stage_folder(folder, stage):
    (found,) = folder.glob(f"stages/{stage}-*")
    return found


def weights(folder, stage):
    return (stage_folder(folder, stage) / "model.safetensors").read_bytes()


def go(tmp_path, folder="run", overrides=(), text=TINY):
    recipe = load_recipe(write_tiny(tmp_path, text), overrides)
    return run([Job(recipe)], tmp_path / folder)[0]


def command(*arguments, cwd, **options):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tinyrefinery", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process, timeout=180):
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()  # where it took too long
    return process.returncode, output, errors


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
    assert sorted((s["id"], s["row"]) for s in stages) == [
        ("plain", ""),  # of both
        ("refined", "hard"),
        ("refined", "soft"),
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
        return facts["rows"], facts["row"]

    assert rows_of_plain("hard") == (["hard"], "hard")
    assert rows_of_plain("soft") == (["hard", "soft"], "")
    assert rows_of_plain("hard") == (["hard", "soft"], "")
    assert rows_of_plain("soft", "hard") == (["soft", "hard"], "")


def test_what_changes_weights_changes_the_key(tmp_path):
    from tinyrefinery.builders import dataset, fabric

    path = write_tiny(tmp_path)
    base = load_recipe(path)
    data = dataset(base.data)

    def keys(*overrides):
        recipe = load_recipe(path, overrides)
        return RecipeRun(Job(recipe), tmp_path, data, fabric(recipe.engine)).keys

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

    from tinyrefinery.builders import dataset, fabric

    for label, base in (("a", 50), ("b", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (16, 16), (base, i, 0)).save(tmp_path / "photos" / label / f"{i}.png")
    source = f"data.source={{name: folder, root: {tmp_path / 'photos'}, validation: 0.4}}"
    found = []
    for channels in (1, 3):
        recipe = load_recipe(write_tiny(tmp_path), [source, f"data.source.channels={channels}"])
        data = dataset(recipe.data)
        found.append(RecipeRun(Job(recipe), tmp_path, data, fabric(recipe.engine)).keys["plain"])
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


def test_a_folder_in_use_is_refused(tmp_path):
    from filelock import FileLock

    from tinyrefinery.errors import StorageError

    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(StorageError, match="another command"):
        go(tmp_path)


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


def test_kill_in_generation_two_then_the_same_command(finished, tmp_path):
    path = write_tiny(tmp_path)
    arguments = ("run", path, "--name", "run", "stages.refined.epochs=30", "data.source.train=320")
    whole = tmp_path / "whole"
    whole.mkdir()
    code, _, errors = finish(command(*arguments, cwd=whole))
    assert code == 0, errors

    victim = command(*arguments, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        metrics = list(tmp_path.glob("runs/run/stages/refined-*/metrics.jsonl"))
        if metrics and len(metrics[0].read_text().splitlines()) >= 2:
            break
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    assert finish(victim)[0] == -signal.SIGKILL
    place = stage_folder(tmp_path / "runs" / "run", "refined")
    assert not (place / "done.json").exists(), "it was killed too late to test anything"
    assert (place / "state.pt").exists()

    code, output, errors = finish(command(*arguments, cwd=tmp_path))
    assert code == 0, errors
    for stage in ("plain", "refined"):
        ours = weights(tmp_path / "runs" / "run", stage)
        assert ours == weights(whole / "runs" / "run", stage), stage
        for name in ("dynamics.parquet", "suspects.csv"):
            (ours, theirs) = (
                (stage_folder(place / "runs" / "run", stage) / name).read_bytes()
                for place in (tmp_path, whole)
            )
            assert ours == theirs, f"{stage}: {name}"
    assert "refined" in output


def test_ctrl_c_says_how_to_go_on(tmp_path):
    path = write_tiny(tmp_path)

    def listen():  # what a shell starts in the background is deaf to it, and so are its children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    options = {"cwd": tmp_path, "preexec_fn": listen}
    victim = command("run", path, "stages.plain.epochs=5000", **options)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/stages/plain-*/state.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    victim.send_signal(signal.SIGINT)
    code, _, errors = finish(victim)
    assert code == 130
    assert "the same command goes on" in errors
    assert "Traceback" not in errors


def test_no_space_left(finished, tmp_path):
    """A file-size limit is how a test fills a disk."""
    path = write_tiny(tmp_path)
    assert finish(command("run", path, "--name", "run", cwd=tmp_path))[0] == 0
    before = weights(tmp_path / "runs" / "run", "plain")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    wider = "stages.refined.model.kwargs={widths: [32, 64]}"
    full = command("run", path, wider, "--name", "run", cwd=tmp_path, preexec_fn=limit)
    code, _, errors = finish(full)
    assert code == 4, errors
    assert "state.pt: can't be written" in errors
    assert "free some space" in errors
    assert "Traceback" not in errors
    assert weights(tmp_path / "runs" / "run", "plain") == before
    assert not list(tmp_path.rglob("*.part"))
    _, _, errors = finish(command("run", path, wider, "--name", "run", cwd=tmp_path))
    assert len(list(tmp_path.glob("runs/run/stages/refined-*/done.json"))) == 2, errors


def test_a_truncated_network_names_its_folder(tmp_path):
    go(tmp_path)
    model = stage_folder(tmp_path / "run", "plain") / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"plain-\w+/model\.safetensors.*Delete the folder"):
        go(tmp_path)
    model.write_bytes(whole)
    assert len(go(tmp_path)) == 2


def test_a_refiner_file_of_other_classes(finished, tmp_path):
    model = stage_folder(finished[0], "plain") / "model.safetensors"
    by = f"stages.refined.labels.by=file:{model}"
    chain = go(tmp_path, overrides=[by])
    assert chain[-1].refined_by == (f"file:{model}",)
    with pytest.raises(CheckpointError, match=r"knows 10 classes, but data set .* has 100"):
        go(tmp_path, overrides=[by, "data.source.digits=2"])
    with pytest.raises(
        CheckpointError, match=r"nowhere\.safetensors: .*(no such file|can't be read)"
    ):
        go(tmp_path, overrides=["stages.refined.labels.by=file:nowhere.safetensors"])


def test_an_ensemble_of_a_stage_and_a_file(finished, tmp_path):
    model = stage_folder(finished[0], "refined") / "model.safetensors"
    chain = go(tmp_path, overrides=[f"stages.refined.labels.by=[plain, 'file:{model}']"])
    assert chain[-1].refined_by == ("plain", f"file:{model}")


def test_a_collapse_stops_the_chain_and_keeps_what_was_made(tmp_path):
    rule = "chain.collapse={below_refiner: 0.05, near_chance: 0}"
    good = [
        "data.source.train=640",
        "data.source.validation=400",
        "stages.plain.epochs=12",
        "stages.plain.optimizer={name: adamw, lr: 0.01}",
    ]
    hopeless = "stages.refined.optimizer.lr=1.0e-9"
    with pytest.raises(ChainError, match=r"stage 'refined' collapsed: .*kept") as caught:
        go(tmp_path, overrides=[rule, *good, hopeless, "stages.refined.generations=3"])
    assert caught.value.exit_code == 3
    done = sorted(
        p.parent.name.split("-")[0] for p in (tmp_path / "run").glob("stages/*/done.json")
    )
    assert done == ["plain", "refined"]  # and refined_2, refined_3 were not begun


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


def test_weights_of_a_smaller_class_count_are_refused(finished, tmp_path):
    model = stage_folder(finished[0], "plain") / "model.safetensors"
    assert load_file(model)
    overrides = [f"stages.plain.model.weights={model}", "data.source.digits=2"]
    with pytest.raises(CheckpointError, match="was trained for 10 classes, but 100 are needed"):
        go(tmp_path, overrides=overrides)


STORED = "stages.refined.labels.store={form: float32}"


def test_labels_from_a_store_give_the_weights_of_live_ones(finished, tmp_path):
    go(tmp_path, overrides=[STORED])
    for stage in ("plain", "refined"):
        assert weights(tmp_path / "run", stage) == weights(finished[0], stage)
    (store,) = (tmp_path / "run" / "labels").iterdir()
    assert len(list(store.glob("stream-*"))) == 3  # an epoch each


TWO_MORE = """
  - id: second
    model: {name: street_cnn, kwargs: {widths: [4, 6]}}
    labels: {name: refined, by: plain}
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: cosine}
    seed: 5
    epochs: 3
    batch_size: 16
engine:"""


def test_stages_with_seeds_of_their_own_share_stored_labels(tmp_path, monkeypatch):
    from tinyrefinery.labels.stored import StoredLabels

    made, make = [], StoredLabels.make
    monkeypatch.setattr(
        StoredLabels, "make", lambda s, stream: made.append(stream) or make(s, stream)
    )
    path = str(tmp_path / "labels")
    both = [f"stages.{stage}.labels.store={path}" for stage in ("refined", "second")]
    go(tmp_path, overrides=both, text=TINY.replace("engine:", TWO_MORE.strip("\n"), 1))
    assert made == [0, 1, 2]
    assert weights(tmp_path / "run", "refined") != weights(tmp_path / "run", "second")


def test_stages_in_step_end_as_they_would_one_after_the_other(tmp_path):
    text = TINY.replace("engine:", TWO_MORE.strip("\n"), 1)
    go(tmp_path, "apart", ["stages.second.seed=null"], text)
    chain = go(
        tmp_path, "in_step", ["stages.second.seed=null", "stages.second.beside=refined"], text
    )
    for stage in ("refined", "second"):
        assert weights(tmp_path / "in_step", stage) == weights(tmp_path / "apart", stage)
    assert [generation.id for generation in chain.generations] == ["plain", "refined", "second"]


def test_a_crop_pool_is_labelled_once(tmp_path):
    go(tmp_path, overrides=[STORED, "stages.refined.crop_pool=2"])
    (store,) = (tmp_path / "run" / "labels").iterdir()
    assert len(list(store.glob("stream-*"))) == 2


def test_labels_made_ahead_are_those_of_the_training(finished, tmp_path):
    from tinyrefinery.labelling import make_labels

    recipe = load_recipe(write_tiny(tmp_path), [STORED])
    (store,) = make_labels(recipe, tmp_path / "run", streams=[2, 0])
    assert list(store.streams()) == [0, 2]
    before = {path: path.stat().st_mtime_ns for path in store.streams().values()}
    run([Job(recipe)], tmp_path / "run")
    assert list(store.streams()) == [0, 1, 2]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert weights(tmp_path / "run", "refined") == weights(finished[0], "refined")


def test_several_processes_label_the_same(tmp_path):
    from tinyrefinery.labelling import make_labels

    recipe = load_recipe(write_tiny(tmp_path), [STORED])
    (one,) = make_labels(recipe, tmp_path / "one")
    (two,) = make_labels(recipe, tmp_path / "two", processes=2)
    assert [path.name for path in one.streams().values()] == [
        path.name for path in two.streams().values()
    ]


def test_a_recipe_without_a_store_says_how_to_name_one(tmp_path):
    from tinyrefinery.labelling import make_labels

    with pytest.raises(RecipeError, match=r"stages\.refined\.labels\.store=labels/"):
        make_labels(load_recipe(write_tiny(tmp_path)), tmp_path / "run")


def test_a_store_that_was_being_begun_when_it_was_killed_is_no_hindrance(finished, tmp_path):
    leftover = tmp_path / "run" / "labels" / ".0123456789abcdef.01234567.part"
    leftover.mkdir(parents=True)
    (leftover / ".probes.npz.0123.part").write_text("half")
    go(tmp_path, overrides=[STORED])
    assert weights(tmp_path / "run", "refined") == weights(finished[0], "refined")


def test_streams_and_stages_that_training_has_not_are_refused_before_anything(tmp_path):
    from tinyrefinery.labelling import make_labels

    recipe = load_recipe(write_tiny(tmp_path), [STORED, "stages.refined.crop_pool=2"])
    with pytest.raises(RecipeError, match=r"trains on streams 0-1 of crops, so not on 2"):
        make_labels(recipe, tmp_path / "run", streams=[0, 2])
    with pytest.raises(RecipeError, match="no stage of this id has a label store"):
        make_labels(recipe, tmp_path / "run", stages=["refined", "refned"])
    assert not list((tmp_path / "run").glob("stages/*/done.json"))


def test_labels_for_one_stage_train_nobody_beside(tmp_path):
    from tinyrefinery.labelling import make_labels

    text = TINY.replace("engine:", TWO_MORE.strip("\n"), 1)
    beside = ["stages.second.beside=plain", "stages.second.labels={name: ground_truth}"]
    short = ["stages.second.epochs=2", "stages.second.loss={name: cross_entropy}", STORED]
    make_labels(load_recipe(write_tiny(tmp_path, text), beside + short), tmp_path / "run")
    trained = {path.parent.name.split("-")[0] for path in tmp_path.glob("run/stages/*/done.json")}
    assert trained == {"plain"}
    assert (tmp_path / "run" / "recipe.yaml").exists()
