"""Runs with stored labels, and stages in step."""

import pytest

from tests.recipe_files import TINY, write_tiny
from tests.running import go, weights
from tinyrefinery.errors import RecipeError
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder / "run", go(folder)


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
    from tinyrefinery.labels.store.reader import StoredLabels

    made, make = [], StoredLabels.label_stream
    monkeypatch.setattr(
        StoredLabels, "label_stream", lambda s, stream: made.append(stream) or make(s, stream)
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


def test_a_crop_pool_is_labeled_once(tmp_path):
    go(tmp_path, overrides=[STORED, "stages.refined.crop_pool=2"])
    (store,) = (tmp_path / "run" / "labels").iterdir()
    assert len(list(store.glob("stream-*"))) == 2


def test_labels_made_ahead_are_those_of_the_training(finished, tmp_path):
    from tinyrefinery.execution.label_ahead import make_labels

    recipe = load_recipe(write_tiny(tmp_path), [STORED])
    (store,) = make_labels(recipe, tmp_path / "run", streams=[2, 0])
    assert list(store.streams()) == [0, 2]
    before = {path: path.stat().st_mtime_ns for path in store.streams().values()}
    run([Job(recipe)], tmp_path / "run")
    assert list(store.streams()) == [0, 1, 2]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert weights(tmp_path / "run", "refined") == weights(finished[0], "refined")


def test_several_processes_label_the_same(tmp_path):
    from tinyrefinery.execution.label_ahead import make_labels

    recipe = load_recipe(write_tiny(tmp_path), [STORED])
    (one,) = make_labels(recipe, tmp_path / "one")
    (two,) = make_labels(recipe, tmp_path / "two", processes=2)
    assert [path.name for path in one.streams().values()] == [
        path.name for path in two.streams().values()
    ]


def test_a_recipe_without_a_store_says_how_to_name_one(tmp_path):
    from tinyrefinery.execution.label_ahead import make_labels

    with pytest.raises(RecipeError, match=r"stages\.refined\.labels\.store=labels/"):
        make_labels(load_recipe(write_tiny(tmp_path)), tmp_path / "run")


def test_a_store_that_was_being_begun_when_it_was_killed_is_no_hindrance(finished, tmp_path):
    leftover = tmp_path / "run" / "labels" / ".0123456789abcdef.01234567.part"
    leftover.mkdir(parents=True)
    (leftover / ".probes.npz.0123.part").write_text("half")
    go(tmp_path, overrides=[STORED])
    assert weights(tmp_path / "run", "refined") == weights(finished[0], "refined")


def test_streams_and_stages_that_training_has_not_are_refused_before_anything(tmp_path):
    from tinyrefinery.execution.label_ahead import make_labels

    recipe = load_recipe(write_tiny(tmp_path), [STORED, "stages.refined.crop_pool=2"])
    with pytest.raises(RecipeError, match=r"trains on streams 0-1 of crops, so not on 2"):
        make_labels(recipe, tmp_path / "run", streams=[0, 2])
    with pytest.raises(RecipeError, match="no stage of this id has a label store"):
        make_labels(recipe, tmp_path / "run", stages=["refined", "refned"])
    assert not list((tmp_path / "run").glob("stages/*/done.json"))


def test_labels_for_one_stage_train_nobody_beside(tmp_path):
    from tinyrefinery.execution.label_ahead import make_labels

    text = TINY.replace("engine:", TWO_MORE.strip("\n"), 1)
    beside = ["stages.second.beside=plain", "stages.second.labels={name: ground_truth}"]
    short = ["stages.second.epochs=2", "stages.second.loss={name: cross_entropy}", STORED]
    make_labels(load_recipe(write_tiny(tmp_path, text), beside + short), tmp_path / "run")
    trained = {path.parent.name.split("-")[0] for path in tmp_path.glob("run/stages/*/done.json")}
    assert trained == {"plain"}
    assert (tmp_path / "run" / "recipe.yaml").exists()
