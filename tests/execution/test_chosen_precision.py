"""`engine.precision: auto`: what is chosen, what is kept, and what it changes."""

import json
import logging

import pytest
import torch

from tests.recipe_files import write_tiny
from tests.running import go, stage_folder, weights
from tinyrefinery.builders import dataset
from tinyrefinery.execution.chosen_precision import speed_ratio, with_chosen_precision
from tinyrefinery.execution.execute import run
from tinyrefinery.execution.label_ahead import make_labels
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.keys import stage_keys
from tinyrefinery.runs.plan import Job
from tinyrefinery.training import precision_probe

AUTO = ("engine.precision=auto",)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def machine(monkeypatch):
    """Sets how many times as fast bf16 is here; returns the list of what was timed."""
    timed = []

    def set_speed(train, label=None):
        def seconds(steps, shape, batch, device, **_):
            is_labeling = isinstance(steps["32"], precision_probe.Refiner)
            timed.append(("label" if is_labeling else "train", shape, batch))
            speed = label if is_labeling and label else train
            return {"32": 1.0, "bf16": 1 / speed if speed else None}

        monkeypatch.setattr(precision_probe, "seconds_per_crop", seconds)
        return timed

    return set_speed


@pytest.mark.parametrize(
    ("speed", "chosen", "line"),
    [
        (2.0, "bf16", "precision: bf16, bf16 is 2.00x as fast here"),
        (0.8, "32", "precision: 32, bf16 is 0.80x as fast here"),
        (1.01, "32", "precision: 32, bf16 is 1.01x as fast here"),
        (None, "32", "precision: 32, bf16 is not available on this device"),
    ],
)
def test_the_faster_precision_is_chosen(tmp_path, machine, caplog, speed, chosen, line):
    machine(speed)
    recipe = load_recipe(write_tiny(tmp_path), AUTO)
    with caplog.at_level(logging.INFO, logger="tinyrefinery"):
        (job,) = with_chosen_precision([Job(recipe)], tmp_path)
    assert job.recipe.engine.precision == chosen
    assert caplog.messages == [line]


@pytest.mark.parametrize(("speed", "chosen"), [(2.0, "bf16"), (0.8, "32")])
def test_a_network_is_that_of_a_recipe_that_names_its_precision(tmp_path, machine, speed, chosen):
    machine(speed)
    go(tmp_path, "auto", AUTO)
    go(tmp_path, "named", (f"engine.precision={chosen}",))
    assert load_recipe(tmp_path / "auto" / "recipe.yaml").engine.precision == chosen
    facts = json.loads((stage_folder(tmp_path / "auto", "plain") / "stage.json").read_text())
    assert facts["precision"] == chosen
    for stage in ("plain", "refined"):
        names = [stage_folder(tmp_path / run, stage).name for run in ("auto", "named")]
        assert names[0] == names[1]  # which has the key
        assert weights(tmp_path / "auto", stage) == weights(tmp_path / "named", stage)


def test_a_run_that_moves_to_another_machine_keeps_its_precision(tmp_path, machine, cache, caplog):
    machine(2.0)
    go(tmp_path, "run", AUTO)
    before = weights(tmp_path / "run", "refined")
    (stage_folder(tmp_path / "run", "refined") / "done.json").unlink()
    (stage_folder(tmp_path / "run", "refined") / "model.safetensors").unlink()
    cache.rename(tmp_path / "left behind")
    machine(0.5)
    with caplog.at_level(logging.INFO, logger="tinyrefinery"):
        go(tmp_path, "run", AUTO)
    assert "precision: bf16, as this run began" in caplog.messages
    assert weights(tmp_path / "run", "refined") == before  # one folder per stage, as before


def test_a_damaged_record_is_reported_and_the_precision_stays(tmp_path, machine, caplog):
    machine(2.0)
    go(tmp_path, "run", AUTO)
    record = tmp_path / "run" / "precision.json"
    record.write_text(record.read_text().replace('"bf16"', '"32"'))
    machine(0.5)
    with caplog.at_level(logging.INFO, logger="tinyrefinery"):
        go(tmp_path, "run", AUTO)
    assert f"{record}: is damaged, so it is written again" in caplog.messages
    assert json.loads(record.read_text())["precision"] == "bf16"
    stage_folder(tmp_path / "run", "plain")  # trained once


def test_a_run_that_began_with_a_named_precision_keeps_it(tmp_path, machine, cache):
    """Shipped recipes that named bf16 have `auto` now; their networks need no second training."""
    go(tmp_path, "run", ("engine.precision=bf16",))
    for _ in range(2):
        machine(0.5)
        go(tmp_path, "run", AUTO)
        stage_folder(tmp_path / "run", "plain")  # one folder per stage
        assert load_recipe(tmp_path / "run" / "recipe.yaml").engine.precision == "bf16"


def test_times_are_kept_in_the_cache_unless_they_are_damaged(tmp_path, machine, cache):
    timed = machine(2.0)
    recipe = load_recipe(write_tiny(tmp_path), AUTO)
    speed_ratio([recipe], CPU)
    # `refined` has the network of `plain`, which is also its refiner.
    assert [(what, shape) for what, shape, _ in timed] == [
        ("train", (1, 16, 16)),
        ("label", (1, 16, 16)),
    ]
    machine(0.5)
    assert speed_ratio([recipe], CPU) == pytest.approx(2)
    for file in cache.glob("precision/*.json"):
        file.write_text(file.read_text().replace("0.5", "0.1"))
    assert speed_ratio([recipe], CPU) == pytest.approx(0.5)
    other = load_recipe(write_tiny(tmp_path), (*AUTO, "stages.plain.batch_size=32"))
    assert len(timed) == 4
    speed_ratio([other], CPU)
    assert timed[-1] == ("train", (1, 16, 16), 32)


def test_each_kind_of_work_counts_for_its_epochs(tmp_path, machine):
    machine(train=0.5, label=4.0)
    live = load_recipe(write_tiny(tmp_path), AUTO)  # 2 + 3 epochs of training, 3 of labels
    assert speed_ratio([live], CPU) == pytest.approx((5 + 3) / (5 / 0.5 + 3 / 4.0))
    stored = ("stages.refined.labels.store={}", "stages.refined.crop_pool=1")
    recipe = load_recipe(write_tiny(tmp_path), (*AUTO, *stored))
    assert speed_ratio([recipe], CPU) == pytest.approx((5 + 1) / (5 / 0.5 + 1 / 4.0))


def test_rows_that_name_a_precision_keep_it(tmp_path, machine):
    machine(2.0)
    path = write_tiny(tmp_path)
    jobs = [Job(load_recipe(path, [f"engine.precision={p}"]), f"p{p}") for p in ("32", "auto")]
    run(jobs, tmp_path / "run")
    found = {}
    for file in tmp_path.glob("run/stages/plain-*/stage.json"):
        facts = json.loads(file.read_text())
        found[facts["rows"][0]] = facts["precision"]
    assert found == {"p32": "32", "pauto": "bf16"}


def test_labels_made_ahead_have_the_precision_of_the_run(tmp_path, machine):
    machine(2.0)
    overrides = (*AUTO, "stages.refined.labels.store={}")
    recipe = load_recipe(write_tiny(tmp_path), overrides)
    make_labels(recipe, tmp_path / "run")
    machine(0.5)
    made = file_times(tmp_path / "run" / "labels")
    assert made
    run([Job(recipe)], tmp_path / "run")
    assert file_times(tmp_path / "run" / "labels") == made


def file_times(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files if not path.name.startswith(".")}


def test_a_key_is_never_made_of_an_open_choice(tmp_path):
    recipe = load_recipe(write_tiny(tmp_path), AUTO)
    with pytest.raises(ValueError, match="choose a precision"):
        stage_keys(recipe, dataset(recipe.data))


def test_a_refiner_from_a_file_is_timed_too(tmp_path, machine):
    go(tmp_path, "first")
    timed = machine(2.0)
    file = stage_folder(tmp_path / "first", "plain") / "model.safetensors"
    recipe = load_recipe(write_tiny(tmp_path), (*AUTO, f"stages.refined.labels.by=file:{file}"))
    assert speed_ratio([recipe], CPU) == pytest.approx(2)
    assert [what for what, _, _ in timed] == ["train", "label"]


def test_the_probe_times_real_steps_of_both_precisions(tmp_path):
    recipe = load_recipe(write_tiny(tmp_path), AUTO)
    weights_before = torch.get_rng_state()
    threads = torch.get_num_threads()
    assert 0.05 < speed_ratio([recipe], CPU) < 20
    assert torch.equal(torch.get_rng_state(), weights_before)  # no training depends on the probe
    assert torch.get_num_threads() == threads


def test_a_precision_that_the_device_lacks_has_no_time():
    def unable(images):
        raise RuntimeError("bfloat16 is not supported")

    steps = {"32": lambda images: images.sum(), "bf16": unable}
    found = precision_probe.seconds_per_crop(steps, (3, 8, 8), 4, CPU, channels_last=True)
    assert found["bf16"] is None
    assert found["32"] > 0
