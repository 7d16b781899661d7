"""Binary networks are candidates, and no packed file is larger than foretold."""

import pytest
import torch
from torch import nn

from tinyrefinery.deploy.costs.packed_costs import packed_file_cost
from tinyrefinery.deploy.export.artifact_facts import INSIDE, artifact_facts
from tinyrefinery.deploy.packing.packed_artifact import make_packed
from tinyrefinery.device.excess import excesses
from tinyrefinery.errors import RecipeError
from tinyrefinery.fitting.fit_options import PACKED, USUAL, FitOptions
from tinyrefinery.fitting.fit_recipes import NETWORK, Plan
from tinyrefinery.fitting.look import Look
from tinyrefinery.fitting.packed_space import PACKED_FAMILIES, foretold_packed
from tinyrefinery.fitting.search_space import MEAN, STD, feasible
from tinyrefinery.models import create
from tinyrefinery.models.network_file import save_network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import Budget
from tinyrefinery.recipe.load import dump

CLASSES = ("cat", "dog", "ein Hörnchen")


def written(folder, family, width, size, channels=3):
    """What the real packed file of a network with random numbers costs."""
    torch.manual_seed(0)
    options = family.options(width)
    network = create(family.model, len(CLASSES), size=size, channels=channels, **options).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, -1, 1.5)
            nn.init.normal_(layer.running_mean)
    normalization = {"mean": (MEAN,) * channels, "std": (STD,) * channels}
    facts = {"name": family.model, "kwargs": options, "classes": CLASSES, "size": size}
    save_network(folder / "net.safetensors", network, channels=channels, **facts, **normalization)
    opened = open_network(folder / "net.safetensors")
    facts = artifact_facts(opened, target=PACKED, preprocessing=INSIDE, int8=False, method=None)
    facts["refiners"] = [f"file:/{'home/' * 150}refiner.safetensors"]  # paths may be long
    make_packed(opened.load(), opened.info, facts, folder / "net.packed", pixels=True)
    return packed_file_cost(folder / "net.packed")


@pytest.mark.parametrize("family", PACKED_FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize(("width", "size", "channels"), [(0.25, (32, 32), 3), (0.8, (48, 40), 1)])
def test_no_packed_file_is_larger_than_foretold(tmp_path, family, width, size, channels):
    cost = foretold_packed(CLASSES, channels)(family, width, size)
    found = written(tmp_path, family, width, size, channels)
    assert found.flash <= cost.flash <= found.flash + 4096
    assert (found.ram, found.macs) == (cost.ram, cost.macs)


def test_candidates_within_the_usual_budget():
    kept, rejected = feasible(
        [(32, 32), (64, 64)], USUAL, foretold_packed(CLASSES, 3), PACKED_FAMILIES
    )
    assert {each.family for each in kept} == {each.name for each in PACKED_FAMILIES}
    assert not any(excesses(USUAL, each.cost) for each in kept)
    assert len({each.name for each in kept}) == len(kept)
    assert {each.size for each in rejected} == {(64, 64)}  # float maps are large
    assert all("ram is" in each.reason for each in rejected)


def test_widths_are_groups_of_binary_filters():
    assert PACKED_FAMILIES[0].options(0.25)["widths"] == [8, 16, 32]
    assert PACKED_FAMILIES[0].options(0.1)["widths"] == [8, 8, 16]
    assert PACKED_FAMILIES[0].options(1.2)["widths"] == [40, 80, 152]


def test_binary_candidates_are_trained_as_the_binary_recipes_are():
    look = Look(90, 20, 30, dict.fromkeys(CLASSES, 30), 40, 40, 3)
    cost = foretold_packed(CLASSES, 3)
    (candidate,), _ = feasible([(32, 32)], USUAL, cost, PACKED_FAMILIES[:1])
    recipe = Plan({"name": "folder", "root": "photos"}, look, 0).of_candidate(candidate, 20)
    (stage,) = recipe.stages
    assert (stage.id, stage.model.name) == (NETWORK, "bireal_small")
    optimizer, schedule = stage.optimizer, stage.schedule
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adamw", 2e-3, 0.02)
    assert (schedule.name, schedule.warmup) == ("cosine", 1)
    assert "adamw" in dump(recipe)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"to": "onnx"}, "--to"),
        ({"to": PACKED, "device": "ethos-u55-128"}, r"--device ethos-u55-128: .* int8 files only"),
        (
            {"to": PACKED, "budget": Budget(cycles="300k@ethos-u55-64")},
            r"cycles 300k@ethos-u55-64: .* Leave one of it and --to packed out",
        ),
    ],
)
def test_what_a_packed_file_can_not_be_is_refused(options, wrong):
    with pytest.raises(RecipeError, match=wrong):
        FitOptions(**options)


def test_the_request_of_a_folder_names_the_target_only_where_it_is_another():
    assert "to" not in FitOptions().as_dict()
    assert FitOptions(to=PACKED).as_dict() == {**FitOptions().as_dict(), "to": "packed"}
