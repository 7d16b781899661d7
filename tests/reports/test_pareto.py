"""Accuracy against cost: the front by brute force, the literature's points by their sources."""

import json

import numpy as np
import pytest
from torchvision.models import get_model_weights

from tinyrefinery.pages.run_tables import group_stages
from tinyrefinery.reports.page import write_page
from tinyrefinery.reports.pareto import IMAGENET, front, literature, own_points, pareto_figures
from tinyrefinery.runs.run_folder import open_run


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_nothing_beats(seed):
    random = np.random.default_rng(seed)
    costs, values = random.integers(0, 12, 40), random.integers(0, 12, 40)  # with ties

    def beaten(i):
        return any(
            (costs[j] <= costs[i] and values[j] > values[i])
            or (costs[j] < costs[i] and values[j] >= values[i])
            for j in range(40)
        )

    found = front(costs, values)
    kept = {(costs[i], values[i]) for i in range(40) if not beaten(i)}
    assert {(costs[i], values[i]) for i in found} == kept
    assert len(found) == len(kept)
    assert list(costs[found]) == sorted(costs[found])


def test_torchvisions_points_are_its_metadatas():
    points = [point for point in literature() if point.source.startswith("torchvision ")]
    assert len(points) == 9
    for point in points:
        _, model, weights = point.source.split()
        meta = get_model_weights(model)[weights].meta
        assert point.parameters == pytest.approx(meta["num_params"] / 1e6)
        assert point.macs == pytest.approx(1000 * meta["_ops"])
        assert point.top1 == pytest.approx(meta["_metrics"]["ImageNet-1K"]["acc@1"])


def test_every_point_has_a_source_and_a_name_of_its_own():
    points = literature()
    assert all(point.source for point in points)
    assert len({(point.family, point.name) for point in points}) == len(points)


def test_own_networks_are_beside_those_of_the_same_data_only(run):
    folder = open_run(run)
    groups = group_stages([folder])
    ours = own_points([folder], groups)
    assert list(ours) == ["street numbers"]
    first = groups[0]
    (point,) = [each for each in ours["street numbers"] if each.name == first.name]
    assert point.top1 == pytest.approx(100 * first.spread("held_out_top1").mean)
    assert point.macs == pytest.approx(first.spread("macs").mean / 1e6)
    assert [len(each.figure.axes) for each in pareto_figures([folder], groups)] == [2, 2]
    (run / "data.json").write_text(json.dumps({"name": f"{IMAGENET} in somewhere"}))
    folder = open_run(run)
    figures = pareto_figures([folder], groups)
    assert [len(each.figure.axes) for each in figures] == [1, 1]
    labels = [text.get_text() for text in figures[0].figure.axes[0].get_legend().get_texts()]
    assert labels[0] == "SkipblockNet"
    assert labels[-1] == "ours"


def test_the_page_has_them_when_asked(run):
    page = write_page([open_run(run)], pareto=True).read_text()
    assert "Accuracy against cost" in page
    assert "torchvision mobilenet_v2" in page
    assert (run / "plots/pareto-macs.svg").exists()
    assert "Accuracy against cost" not in write_page([open_run(run)]).read_text()
