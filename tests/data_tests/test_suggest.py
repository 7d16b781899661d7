"""Weak slices: planted ones are found, chance is not, and the YAML can be pasted."""

import numpy as np
import yaml

from tests.data_tests.cases import answers, rows, suite
from tinyrefinery.data_tests.data_test_file import Suite
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.suggest import as_yaml, weak_slices

N = 4000


def scene(seed=0):
    random = np.random.default_rng(seed)
    columns = {
        "brightness": random.uniform(0, 255, N).tolist(),
        "pose": random.choice(["front", "back", "it's odd"], N).tolist(),
        "camera": random.choice(["a", "b", "c", None], N).tolist(),
        "hour of day": random.integers(0, 24, N).tolist(),
        "flash": random.choice([True, False], N).tolist(),
    }
    return rows(N, **columns), random


def everything():
    return np.ones(N, bool)


def test_a_planted_slice_is_found_first():
    data, random = scene()
    pose = np.array(data.columns.column("pose").to_pylist())
    bright = np.array(data.columns.column("brightness").to_pylist())
    weak = (pose == "back") & (bright < 60)
    wrong = random.uniform(size=N) < np.where(weak, 0.6, 0.1)
    first = weak_slices(data, everything(), wrong)[0]
    assert "pose = 'back'" in first.where
    assert "brightness < " in first.where
    assert first.rate > 0.5
    overlap = np.mean(weak[first.members])
    assert overlap > 0.9


def test_chance_gives_no_suggestion():
    found = 0
    for seed in range(20):
        data, random = scene(seed)
        found += len(weak_slices(data, everything(), random.uniform(size=N) < 0.2))
    assert found <= 3  # Bonferroni at 0.05: one in twenty data sets, and neighbours of it


def test_a_slice_within_a_better_one_is_left_out():
    data, random = scene()
    pose = np.array(data.columns.column("pose").to_pylist())
    wrong = random.uniform(size=N) < np.where(pose == "it's odd", 0.9, 0.05)
    found = weak_slices(data, everything(), wrong)
    assert [each.where for each in found] == ["pose = 'it''s odd'"]


def test_small_slices_are_left_out():
    data, _ = scene()
    hour = np.array(data.columns.column("hour of day").to_pylist())
    wrong = hour == 3
    assert weak_slices(data, everything(), wrong, least=N) == []
    found = weak_slices(data, everything(), wrong)
    assert found[0].where.startswith('"hour of day"')


def test_nothing_to_look_at():
    data, _ = scene()
    assert weak_slices(data, everything(), ~everything()) == []
    assert weak_slices(data, ~everything(), everything()) == []


def test_the_yaml_can_be_pasted_and_fails_where_it_should():
    data, random = scene()
    pose = np.array(data.columns.column("pose").to_pylist())
    hour = np.array(data.columns.column("hour of day").to_pylist())
    flash = np.array(data.columns.column("flash").to_pylist())
    bad = (pose == "it's odd") & (hour >= 12) & flash
    wrong = random.uniform(size=N) < np.where(bad, 0.7, 0.05)
    found = weak_slices(data, everything(), wrong)
    content = yaml.safe_load(as_yaml(found))
    Suite.model_validate(content)
    results = judge(suite(content["tests"]), data, answers(data, np.flatnonzero(wrong)))
    assert len(results) == len(found)
    for result, weak in zip(results, found, strict=True):
        assert result.verdict in ("FAIL", "UNPROVEN")
        assert result.measured.n == weak.n
        assert result.measured.n - result.measured.hits == weak.errors
