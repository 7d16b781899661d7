"""Runs that are killed, stopped or given something broken keep what was made."""

import resource
import signal
import time

import pytest
from safetensors.torch import load_file

from tests.recipe_files import write_tiny
from tests.running import command, finish, go, stage_folder, weights
from tinyrefinery.errors import ChainError, CheckpointError


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder / "run", go(folder)


def test_a_folder_in_use_is_refused(tmp_path):
    from filelock import FileLock

    from tinyrefinery.errors import StorageError

    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(StorageError, match="another command"):
        go(tmp_path)


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
    assert "rerun the same command to resume" in errors
    assert "Traceback" not in errors


def test_no_space_left(finished, tmp_path, monkeypatch):
    """A file-size limit is how a test fills a disk."""
    # Coverage would write its own file when the process ends, and fail under the limit.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    path = write_tiny(tmp_path)
    assert finish(command("run", path, "--name", "run", cwd=tmp_path))[0] == 0
    before = weights(tmp_path / "runs" / "run", "plain")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    wider = "stages.refined.model.kwargs={widths: [32, 64]}"
    full = command("run", path, wider, "--name", "run", cwd=tmp_path, preexec_fn=limit)
    code, _, errors = finish(full)
    assert code == 4, errors
    assert "state.pt: is not writable" in errors
    assert "Free some disk space" in errors
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
    with pytest.raises(
        CheckpointError, match=r"plain-\w+/model\.safetensors.*delete the stage's folder"
    ):
        go(tmp_path)
    model.write_bytes(whole)
    assert len(go(tmp_path)) == 2


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


def test_a_refiner_file_of_other_classes(finished, tmp_path):
    model = stage_folder(finished[0], "plain") / "model.safetensors"
    by = f"stages.refined.labels.by=file:{model}"
    chain = go(tmp_path, overrides=[by])
    assert chain[-1].refined_by == (f"file:{model}",)
    with pytest.raises(CheckpointError, match=r"has 10 classes, but dataset .* has 100"):
        go(tmp_path, overrides=[by, "data.source.digits=2"])
    with pytest.raises(
        CheckpointError, match=r"nowhere\.safetensors: .*(no such file|can't be read)"
    ):
        go(tmp_path, overrides=["stages.refined.labels.by=file:nowhere.safetensors"])


def test_weights_of_a_smaller_class_count_are_refused(finished, tmp_path):
    model = stage_folder(finished[0], "plain") / "model.safetensors"
    assert load_file(model)
    overrides = [f"stages.plain.model.weights={model}", "data.source.digits=2"]
    with pytest.raises(CheckpointError, match="was trained for 10 classes, but 100 are needed"):
        go(tmp_path, overrides=overrides)
