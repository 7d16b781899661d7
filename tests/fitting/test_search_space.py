"""Candidates are the widest that fit, and what is foretold is never too low."""

import pytest
import torch

from tinyrefinery.device.arena import Arena
from tinyrefinery.device.device_cost import DeviceCost, device_cost
from tinyrefinery.device.excess import excesses
from tinyrefinery.device.file_form import forms_of
from tinyrefinery.errors import RecipeError
from tinyrefinery.fitting.fit_options import USUAL, FitOptions
from tinyrefinery.fitting.search_space import (
    FAMILIES,
    MEAN,
    STD,
    WIDTHS,
    feasible,
    foretold,
    in_turn,
)
from tinyrefinery.models import create
from tinyrefinery.options.budget import Budget


def by_formula(family, width, size):
    """Flash grows with the square of the width, memory with the width and the area."""
    area = size[0] * size[1]
    return DeviceCost(int(30_000 * width**2), Arena(int(20 * width * area), 0), int(area * width))


@pytest.mark.parametrize("flash", [1_000, 20_000, 31_000, 90_000, 10**9])
@pytest.mark.parametrize("ram", [10_000, 70_000, 10**9])
def test_each_candidate_is_the_widest_that_fits(flash, ram):
    limits, sizes = Budget(flash=flash, ram=ram), [(32, 32), (64, 48), (96, 96)]
    kept, rejected = feasible(sizes, limits, by_formula)
    found = {(each.family, each.size): each.cost for each in kept}
    for family in FAMILIES:
        for size in sizes:
            if min(size) < family.smallest:
                assert (family.name, size) not in found
                continue
            costs = [by_formula(family, width, size) for width in WIDTHS]
            fitting = [cost for cost in costs if not excesses(limits, cost)]
            assert found.get((family.name, size)) == (fitting[-1] if fitting else None)
    places = {(each.family, each.size) for each in rejected}
    assert not places & set(found)
    assert len(places) + len(found) == sum(
        min(size) >= family.smallest for family in FAMILIES for size in sizes
    )


def test_the_first_candidates_are_of_many_families():
    kept, _ = feasible([(48, 48), (64, 64)], Budget(flash=10**9, ram=10**9), by_formula)
    order = list(in_turn(kept))
    assert sorted(order, key=repr) == sorted(kept, key=repr)
    families = {each.family for each in kept}
    assert {each.family for each in order[: len(families)]} == families


def test_real_candidates_are_built_and_within_the_budget():
    kept, _ = feasible([(32, 32), (48, 48)], USUAL, foretold(["a", "b", "c"], 3, USUAL))
    assert len(kept) >= 8
    for each in kept:
        network = create(each.model, 3, size=each.size, **each.kwargs)
        assert network(torch.zeros(2, 3, *each.size)).shape == (2, 3)
        assert not excesses(USUAL, each.cost)


def test_images_of_96_pixels_fit_64_kilobytes():
    """Two more maps of the image once left no family."""
    kept, _ = feasible([(96, 96)], USUAL, foretold(["a", "b", "c"], 3, USUAL))
    assert len(kept) >= 4
    assert not any(excesses(USUAL, each.cost) for each in kept)


@pytest.mark.slow
def test_no_candidate_costs_more_than_foretold(tmp_path):
    """The real converter's files, of all candidates of a budget."""
    pytest.importorskip("ai_edge_litert")
    from tinyrefinery.deploy.export.exportable import Exportable
    from tinyrefinery.deploy.export.untrained import METADATA, convert_on_noise

    sizes = [(32, 32), (48, 48), (64, 32), (64, 64), (96, 96)]
    kept, _ = feasible(sizes, USUAL, foretold(["a", "b", "c"], 3, USUAL))
    for each in kept:
        torch.manual_seed(0)
        network = create(each.model, 3, size=each.size, **each.kwargs).eval()
        normalization = (MEAN,) * 3, (STD,) * 3
        module = Exportable(network, *normalization, normalize=True)
        file = tmp_path / f"{each.name}.tflite"
        costs = []
        for form in forms_of(USUAL, *normalization):
            convert_on_noise(module, each.size, 3, each.name, (file, METADATA), print, form)
            costs.append(device_cost(file))
        found = next((cost for cost in costs if not excesses(USUAL, cost)), costs[0])
        assert found.flash <= each.cost.flash, each.name
        assert found.ram <= each.cost.ram, each.name
        assert not excesses(USUAL, found), each.name


def test_limits_are_named_or_half_of_the_board():
    assert FitOptions().limits == USUAL
    board = FitOptions(device="microbit2").limits
    assert (board.flash, board.ram) == (256 * 1024, 64 * 1024)
    named = FitOptions(budget=Budget(flash=50_000), device="microbit2").limits
    assert (named.flash, named.ram) == (50_000, 64 * 1024)
    assert FitOptions(budget=Budget(flash=50_000)).limits.ram == USUAL.ram


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"hours": 0}, "--hours is 0"),
        ({"device": "microbit"}, "Did you mean 'microbit2'"),
        ({"refiner_weights": "w.pt"}, "--refiner timm:NAME"),
    ],
)
def test_wrong_requests(options, wrong):
    with pytest.raises(RecipeError, match=wrong):
        FitOptions(**options)
