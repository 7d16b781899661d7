"""Figures 4 to 8: numbers by other means, choices by the rule, and their place in the page."""

import re

import numpy as np
import pytest
from scipy.stats import binned_statistic, pearsonr

from tests.recipe_files import write_tiny
from tests.reports.fake_run import SEEDS, evaluation
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.execution.execute import run as run_jobs
from tinyrefinery.pages.plots import category_means
from tinyrefinery.pages.run_tables import group_stages
from tinyrefinery.papers.category_figures import binned, correlation, profiles
from tinyrefinery.papers.figures import line_of_groups, pairs_of, paper_figures
from tinyrefinery.papers.prediction_figures import changed_crop, changed_image
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.reports.page import write_page
from tinyrefinery.runs.plan import Job
from tinyrefinery.runs.run_folder import open_run
from tinyrefinery.runs.top_changes import most_changed


def test_bins_are_scipys():
    random = np.random.default_rng(0)
    train, validation = random.uniform(20, 100, 200), random.uniform(0, 90, 200)
    train[0], train[1] = 100.0, 90.0
    found = binned(train, validation)
    edges = np.arange(0, 101, 10)
    mean, _, _ = binned_statistic(train, validation, "mean", edges)
    count, _, _ = binned_statistic(train, validation, "count", edges)
    full = count > 0
    np.testing.assert_allclose([each[1] for each in found], mean[full])
    np.testing.assert_array_equal([each[3] for each in found], count[full])
    top = validation[(train >= 90)]
    assert found[-1][2] == pytest.approx(top.std(ddof=1))
    assert binned(np.array([5.0]), np.array([3.0])) == [(5.0, 3.0, None, 1)]


def test_correlation_is_scipys():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, 30))
    assert correlation(a, b) == pytest.approx(pearsonr(a, b).statistic)
    assert correlation(a, np.ones(30)) is None


def test_the_line_and_the_pairs(run):
    groups = group_stages([open_run(run)])
    assert [each.first.stage for each in line_of_groups(groups)] == ["large", "refined", "again"]
    stages = [[g.first.stage if g else None for g in pair] for pair in pairs_of(groups)]
    assert stages == [["refined", "large", "compact"], ["again", "refined", "compact"]]


def test_categories_are_means_over_seeds(run):
    groups = {each.first.stage: each for each in group_stages([open_run(run)])}
    means = category_means(groups["large"])
    assert "00" not in means  # it has no validation rows
    rows = [evaluation("large", seed)["per_category"][5] for seed in SEEDS]
    expected = 100 * np.mean([[r["train_top1"], r["validation_top1"]] for r in rows], axis=0)
    np.testing.assert_allclose(means[rows[0]["category"]], expected)


def test_profiles_tell_r_of_the_categories(run):
    groups = group_stages([open_run(run)])
    pair = pairs_of(groups)[0]
    figure = profiles([pair])
    means = [category_means(group) for group in pair]
    names = list(means[0])
    values = [np.array([each[name] for name in names]) for each in means]
    own = pearsonr(values[0][:, 1], values[1][:, 1]).statistic
    base = pearsonr(values[2][:, 1], values[1][:, 1]).statistic
    titles = [axes.get_title("left") for axes in figure.axes]
    expected = f"validation: r = {own:.2f} (given labels {base:.2f})"
    assert titles[1] == expected.replace("-", "−")
    assert profiles([]) is None


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run of two generations, as it leaves its own samples."""
    folder = tmp_path_factory.mktemp("real")
    run_jobs([Job(load_recipe(write_tiny(folder)))], folder / "run")
    return folder / "run"


def predictions(folder):
    names = [f"stages/{stage}-*/predictions-validation.parquet" for stage in ("plain", "refined")]
    found = [next(folder.glob(name)) for name in names]
    return [Predictions.load(path) for path in found]


def test_the_image_is_the_one_that_changed_most(real):
    sample = changed_image(open_run(real))
    both = predictions(real)
    (place,) = most_changed(np.stack([each.probabilities for each in both]), both[0].rows)
    assert sample.row == both[0].rows[place]
    assert sample.label == both[0].labels[place]
    np.testing.assert_array_equal(sample.probabilities[1], both[1].probabilities[place])
    assert sample.candidates == 40
    assert sample.picture.shape == (32, 32, 1)
    assert sample.titles == ("plain", "refined")


def test_the_crop_is_the_one_that_changed_most(real):
    sample = changed_crop(open_run(real))
    arrays = np.load(real / "samples.npz")
    assert sample.candidates == 96  # all training crops were candidates
    assert 12 <= len(arrays["row"]) <= 15
    change = np.abs(arrays["labels_0"] - arrays["labels_1"]).sum(axis=1)
    assert sample.change > 0
    assert change[list(arrays["row"]).index(sample.row)] > 0
    assert sample.box is not None


def test_figures_on_the_page_and_in_the_folder(real):
    html = write_page([open_run(real)], figures=True).read_text()
    for number in range(4, 9):
        assert f"<b>Figure {number}: " in html
        assert len(list((real / "plots").glob(f"figure{number}-*"))) == 2
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert not re.search(r"url\((?!#)", html)
    addresses = re.findall(r'(?:xlink:)?href="([^"]+)"', html)
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in addresses)
    assert "Figure 4" not in write_page([open_run(real)]).read_text()


def test_older_runs_and_lone_stages(run, real):
    """Samples without rows, line or validation images; predictions that aren't there."""
    folder = open_run(run)
    titles = changed_crop(folder)
    assert titles is None  # only one of the line's labels has a title
    with pytest.raises(DataError, match="no readable predictions"):
        changed_image(folder)
    for path in run.glob("stages/[ar]*/done.json"):
        path.unlink()
    alone = open_run(run)
    files = [each.file for each in paper_figures([alone], group_stages([alone]))]
    assert files == ["figure4-train-validation", "figure5-distributions"]
