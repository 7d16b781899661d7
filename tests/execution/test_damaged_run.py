"""Damaged files of a run are refused with one message or made again, never used silently."""

import json
import shutil

import numpy as np
import pytest

from tests.damage import damage
from tests.running import go, stage_folder, weights
from tinyrefinery.audit.evidence import stage_evidence
from tinyrefinery.errors import CheckpointError, DataError, RefineryError
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.reports.samples import read_samples
from tinyrefinery.runs import files
from tinyrefinery.runs.run_folder import open_run

STAGES = ("plain", "refined")
STOP = "stages.plain.stop={metric: validation_top1, patience: 5}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, and what it measured."""
    folder = tmp_path_factory.mktemp("whole")
    go(folder, overrides=[STOP])
    return folder / "run"


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def measured(folder):
    return {
        name: json.loads((stage_folder(folder, name) / "evaluation.json").read_text())
        for name in STAGES
    }


def flip(path, place=0.5):
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 4
    path.write_bytes(content)


def warnings(caplog):
    return " ".join(r.getMessage() for r in caplog.records if r.levelname == "WARNING")


@pytest.mark.parametrize("name", ["evaluation.json", "predictions-test.parquet", "suspects.csv"])
def test_damaged_measures_are_made_again(whole, run, tmp_path, name, caplog):
    for stage in STAGES:
        flip(stage_folder(run, stage) / name)
    go(tmp_path, overrides=[STOP])
    assert f"since {name} was damaged" in warnings(caplog)
    assert measured(run) == measured(whole)
    for path in stage_folder(whole, "plain").iterdir():
        again = stage_folder(run, "plain") / path.name
        if path.name != "done.json":
            assert again.read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("content", [b"{}", b"\xff\xfe", b"", b"[" * 100_000])
def test_an_evaluation_that_is_something_else_is_made_again(whole, run, tmp_path, content):
    (stage_folder(run, "plain") / "evaluation.json").write_bytes(content)
    with pytest.raises(DataError, match=r"evaluation\.json: is damaged.*measured again"):
        open_run(run)
    go(tmp_path, overrides=[STOP])
    assert measured(run) == measured(whole)


@pytest.mark.parametrize("name", ["model.safetensors", "dynamics.parquet", "metrics.jsonl"])
def test_what_only_training_leaves_is_refused(run, tmp_path, name):
    flip(stage_folder(run, "plain") / name)
    with pytest.raises(CheckpointError, match=rf"{name}: is damaged.*delete the stage's folder"):
        go(tmp_path, overrides=[STOP])


def test_a_network_of_another_stage_is_refused(run):
    """It loads, but the stage's measures and predictions are not its own."""
    ours, theirs = (stage_folder(run, stage) / "model.safetensors" for stage in STAGES)
    shutil.copy(theirs, ours)
    for network in open_networks([run], stages=["plain"]):
        for use in (network.load, lambda network=network: network.info):
            with pytest.raises(CheckpointError, match="is damaged or was replaced"):
                use()


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "data.json", "environment.json", "excluded.csv", "digests.json"]
)
def test_what_a_run_says_of_itself_is_checked(whole, run, tmp_path, name, caplog):
    flip(run / name, 0.9)
    with pytest.raises(DataError, match=name):
        open_run(run)
    go(tmp_path, overrides=[STOP])
    assert open_run(run).data == open_run(whole).data


@pytest.mark.parametrize("name", ["excluded.csv", "recipe.yaml", "stage.json", "metrics.jsonl"])
def test_files_that_are_not_utf8_are_named(run, name):
    """Also where no digest tells."""
    (run / "digests.json").unlink()
    stage = stage_folder(run, "plain")
    key = json.loads((stage / "done.json").read_text())["key"]
    (stage / "done.json").write_text(json.dumps({"key": key}))
    path = run / name if (run / name).exists() else stage / name
    path.write_bytes(path.read_bytes() + b"\n\xff\xfe\x80: 1\n")
    with pytest.raises(DataError, match=rf"{name}: .*(not JSON|UTF-8|not a text|utf-8)"):
        open_run(run)


def test_stage_json_is_checked_and_written_anew(whole, run, tmp_path, caplog):
    path = stage_folder(run, "refined") / "stage.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DataError, match=r"stage\.json: is damaged"):
        open_run(run)
    go(tmp_path, overrides=[STOP])
    assert "stage.json: is damaged" in warnings(caplog)
    assert path.read_bytes() == (stage_folder(whole, "refined") / "stage.json").read_bytes()


def read_everything(run):
    """What commands read of a run, as values to compare; whatever refuses says so."""
    values = {}
    opened = open_run(run)
    values["run"] = (opened.title, opened.data, opened.excluded, opened.environment)
    for stage in opened.stages:
        values[stage.stage] = (stage.evaluation, stage.metrics, stage.seed, stage.labels)
        values[stage.stage, "recipe"] = stage.recipe.read_bytes()
        values[stage.stage, "seen"] = stage.seen()
        evidence = stage_evidence(stage.folder, stage.stage)
        values[stage.stage, "evidence"] = (
            evidence.predictions.digest,
            evidence.dynamics.to_pylist(),
        )
    for network in open_networks([run]):
        weights = network.load().state_dict()
        values[network.digest, "weights"] = {n: w.tolist() for n, w in weights.items()}
        values[network.digest, "info"] = vars(network.info)
    values["samples"] = read_samples(run / files.SAMPLES)
    return values


def check_damages(whole, tmp_path, count, seed):
    """Damage a run `count` times; each time it is refused, or equal to the undamaged one."""
    expected = read_everything(whole)
    random = np.random.default_rng(seed)
    names = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    refused = resumed = 0
    for _ in range(count):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        name = names[random.integers(len(names))]
        how = damage(run / name, random)
        try:
            found = read_everything(run)
        except RefineryError:
            refused += 1
        else:
            for key, value in found.items():
                if key == "samples" and how == "deleted":
                    continue  # a report does without
                assert value == expected[key], f"{name} {how}: {key} is used silently"
        try:
            go(tmp_path, overrides=[STOP])
        except RefineryError:
            continue
        resumed += 1
        assert measured(run) == measured(whole), f"{name} {how}"
        for stage in STAGES:
            assert weights(run, stage) == weights(whole, stage), f"{name} {how}"
    assert refused > count / 4
    assert resumed > count / 4


def test_30_random_damages(whole, tmp_path):
    check_damages(whole, tmp_path, 30, 0)


@pytest.mark.slow
def test_1000_random_damages(whole, tmp_path):
    check_damages(whole, tmp_path, 1000, 1)


def test_another_number_of_threads_is_told(run, tmp_path, caplog):
    with caplog.at_level("INFO"):
        go(tmp_path, overrides=[STOP, "engine.threads=2"])
    assert "was trained with 1 CPU threads, and this run has 2" in caplog.text


def test_half_written_files_of_others_stay(run, tmp_path):
    ours, theirs = run / ".recipe.yaml.0123abcd.part", run / ".movie.part"
    for path in (ours, theirs):
        path.touch()
    go(tmp_path, overrides=[STOP])
    assert not ours.exists()
    assert theirs.exists()
