"""Plans: steps in order, what they need and share, and where they are kept."""

import pytest

from tests.recipe_files import TINY, write_tiny
from tinyrefinery import builders
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job, make_plan

MORE = """
  - id: both
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: [plain, refined_2]}
    init_from: refined
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: constant}
    epochs: 1
    batch_size: 16
  - id: beside
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: [plain, refined_2]}
    beside: both
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: constant}
    epochs: 1
    batch_size: 16
engine:"""


@pytest.fixture
def plan_of(tmp_path):
    text = TINY.replace("engine:", MORE.strip("\n"), 1)
    path = write_tiny(tmp_path, text)

    def plan(*jobs):
        loaded = [Job(load_recipe(path, ["stages.refined.generations=2", *o]), r) for r, o in jobs]
        data = builders.dataset(loaded[0].recipe.data)
        return make_plan(loaded, [data] * len(loaded), tmp_path / "run")

    return plan


def test_steps_come_after_those_that_they_need(plan_of, tmp_path):
    plan = plan_of(("", []))
    (job,) = plan.jobs
    assert [step.stage for step in plan.steps] == [
        "plain",
        "refined",
        "refined_2",
        "both",
        "beside",
    ]
    assert {step.stage: step.needs for step in plan.steps} == {
        "plain": (),
        "refined": ("plain",),
        "refined_2": ("plain", "refined"),
        "both": ("plain", "refined", "refined_2"),
        "beside": ("plain", "refined", "refined_2"),
    }
    assert [step.generation for step in plan.steps] == [1, 2, 3, 4, 4]
    assert job["both"].refiners == (job["plain"].key, job["refined_2"].key)
    assert [step.beside for step in plan.steps] == [None, None, None, None, "both"]
    assert job["both"].folder == tmp_path / "run" / "stages" / f"both-{job['both'].key[:8]}"
    assert not any(step.is_done for step in plan.steps)
    assert not (tmp_path / "run").exists()  # planning writes nothing


def test_rows_share_the_networks_that_are_alike(plan_of):
    hard = ["stages.refined.labels.hard=true"]
    plan = plan_of(("soft", []), ("hard", hard), ("soft", ["seed=1"]))
    rows = {(step.seed, step.stage, step.fills): step.rows for step in plan.steps}
    assert rows[0, "plain", "soft"] == ("soft", "hard")
    assert rows[0, "refined", "soft"] == ("soft",)
    assert rows[0, "refined", "hard"] == ("hard",)
    assert rows[1, "plain", "soft"] == ("soft",)
    assert len({step.key for step in plan.steps}) == len(plan.steps) == 3 * 5 - 1


def test_shares_have_no_network_in_common(plan_of):
    plan = plan_of(("a", ["seed=1"]), ("a", []), ("b", ["seed=1", "stages.plain.epochs=3"]))
    shares = plan.shares()
    assert [[(job.row, job.recipe.seed) for job in share] for share in shares] == [
        [("a", 0)],
        [("a", 1), ("b", 1)],
    ]
    keys = {
        seed: {step.key for job in plan.jobs for step in job.steps if step.seed == seed}
        for seed in (0, 1)
    }
    assert not keys[0] & keys[1]
