"""Tables: rows of overrides of one recipe."""

import pytest

from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.table import is_table, load_table, table_rows

# Label Refinery, Table 4 (arXiv 1805.02641): its four rows as overrides of one recipe.
TABLE4 = """
title: Table 4
recipe: good.yaml
stage: alexnet
seeds: 2
rows:
  - id: no_refinery
    set: ["stages.alexnet.labels={name: ground_truth}", "stages.alexnet.loss={name: cross_entropy}"]
    paper: {top1: 57.93, top5: 79.41}
  - id: soft_static
    set: [stages.alexnet.labels.level=image]
  - id: hard_dynamic
    set: [stages.alexnet.labels.hard=true]
  - id: soft_dynamic
"""


def test_each_row_is_a_recipe_a_seed(good, write):
    path = write(TABLE4)
    jobs = table_rows(load_table(path), path)
    assert [(name, recipe.seed) for name, recipe in jobs] == [
        (name, seed)
        for name in ("no_refinery", "soft_static", "hard_dynamic", "soft_dynamic")
        for seed in (0, 1)
    ]
    labels = {name: recipe.stages[1].labels for name, recipe in jobs}
    assert labels["no_refinery"].name == "ground_truth"
    assert (labels["soft_static"].level, labels["hard_dynamic"].hard) == ("image", True)
    assert (labels["soft_dynamic"].level, labels["soft_dynamic"].hard) == ("crop", False)


def test_seeds_as_a_list_and_by_override(good, write):
    path = write(TABLE4.replace("seeds: 2", "seeds: [3, 5]"))
    table = load_table(path)
    assert [recipe.seed for _, recipe in table_rows(table, path)][:2] == [3, 5]
    assert [recipe.seed for _, recipe in table_rows(table, path, ["seed=9"])] == [9] * 4


def test_table_and_recipe_are_told_apart(good, write):
    assert is_table(write(TABLE4))
    assert not is_table(good)
    with pytest.raises(RecipeError, match=r"is a recipe \(it has stages\), not a table"):
        load_table(good)


WRONG = {
    ("seeds: 2", "seeds: 0"): "seeds: should have at least one element",
    ("seeds: 2", "seeds: [1, 1]"): "seeds: names a seed twice: [1, 1]",
    ("stage: alexnet", "stage: alexnte"): (
        "rows.no_refinery: good.yaml has no stage 'alexnte' (did you mean 'alexnet'?)"
    ),
    ("id: soft_dynamic", "id: soft_static"): "rows.soft_static: 2 rows have this id",
    ("    paper:", "    papers:"): "rows.no_refinery.papers: unknown key (did you mean 'paper'?)",
    ("labels.level=image", "labels.levl=image"): (
        "rows.soft_static: {good}: stages.alexnet.labels.levl: unknown key (did you mean 'level'?)"
    ),
    ("[stages.alexnet.labels.hard=true]", "[stages.alx.labels.hard=true]"): (
        "rows.hard_dynamic: override 'stages.alx.labels.hard=true': no element 'alx' in stages "
        "(did you mean 'alexnet'?)"
    ),
    ("recipe: good.yaml", "recipe: bad.yaml"): "rows.no_refinery: {folder}/bad.yaml: no such file",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change[1].strip())
def test_a_wrong_table_says_so(good, write, change):
    path = write(TABLE4.replace(*change, 1))
    with pytest.raises(RecipeError) as caught:
        table_rows(load_table(path), path)
    assert str(caught.value) == f"{path}: {WRONG[change].format(good=good, folder=good.parent)}"
