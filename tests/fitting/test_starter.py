"""The starter recipe trains few pictures as `fit` does (decision 0026)."""

import pytest

from tinyrefinery.device.arena import Arena
from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.fitting.fit_recipes import Plan
from tinyrefinery.fitting.look import Look
from tinyrefinery.fitting.search_space import Candidate
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate

LOOK = Look(900, 150, 250, {"a": 450, "b": 450}, height=120, width=120, channels=3)
SIZE = (64, 64)


def test_the_starter_has_the_choices_of_fit_for_few_pictures():
    starter = load_recipe(locate("starter/folder"))
    candidate = Candidate("resnet8", "resnet8", {"width": 1.0}, SIZE, DeviceCost(1, Arena(1, 1), 1))
    fitted = Plan({"name": "folder", "root": "photos/"}, LOOK, 0).of_candidate(candidate, 60)
    (chosen,) = fitted.stages
    for stage in starter.stages:
        assert stage.optimizer == chosen.optimizer
        assert stage.batch_size == chosen.batch_size
        assert stage.schedule.name == chosen.schedule.name
    crops = starter.data.train_crop, fitted.data.train_crop
    assert crops[0].area == crops[1].area
    assert crops[0].size == crops[1].size
    assert crops[0].aspect == pytest.approx(crops[1].aspect, abs=1e-3)
    assert starter.data.flip == fitted.data.flip
