"""What a path or a stage's name means."""

import pytest

from tinyrefinery.errors import DataError
from tinyrefinery.runs.folder import open_run
from tinyrefinery.runs.places import run_around, stages_called


def test_the_run_around_a_path(run, tmp_path):
    stage = open_run(run).stages[0].folder
    for place in (run, stage, stage / "model.safetensors"):
        assert run_around(place).resolve() == run.resolve()
    alone = tmp_path / "elsewhere" / "a" / "b.safetensors"
    alone.parent.mkdir(parents=True)
    assert run_around(alone) is None
    (tmp_path / "elsewhere" / "recipe.yaml").write_text("title: no run")
    assert run_around(alone) is None  # a recipe that lies about makes no run folder


def test_a_run_that_has_just_begun(tmp_path):
    (tmp_path / "recipe.yaml").write_text("title: x")
    assert run_around(tmp_path) == tmp_path


def test_stages_by_name(run):
    finished = open_run(run).stages
    assert stages_called(run, finished, []) == list(finished)
    assert {each.stage for each in stages_called(run, finished, ["large", "again"])} == {
        "large",
        "again",
    }
    with pytest.raises(
        DataError, match=r"no finished stage 'larg'\. Did you mean 'large'\?.*again"
    ):
        stages_called(run, finished, ["larg"])
    with pytest.raises(DataError, match="Finished: none"):
        stages_called(run, [], ["larg"])
