"""Tables: rows of overrides of one recipe."""

import pytest

from tinyrefinery.errors import RecipeError
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.document import parse
from tinyrefinery.recipe.load import dump, load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.table import (
    at_scale,
    check_rows,
    in_running_order,
    is_table,
    load_table,
    table_facts,
    table_rows,
)

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


PRINTED_ONLY = """literature:
  - {id: resnext, network: "ResNeXt-50 [7]", paper: {top1: 77.8}}
first: [soft_dynamic, no_refinery]
"""


def test_rows_that_are_printed_only_are_never_run(good, write):
    path = write(TABLE4 + PRINTED_ONLY + "scales:\n  half: {set: [data.flip=0]}\n")
    table = load_table(path)
    jobs = table_rows(table, path)
    assert "resnext" not in {name for name, _ in jobs}
    facts = table_facts(table, jobs, None, smoke=False)
    assert facts["literature"] == [
        {"id": "resnext", "network": "ResNeXt-50 [7]", "paper": {"top1": 77.8}}
    ]
    assert "resnext" not in {row["id"] for row in facts["rows"]}
    assert at_scale(table, "half", path).literature == ()
    with pytest.raises(RecipeError, match="no row 'resnext'"):
        check_rows(["resnext"], table, path)


def test_rows_run_in_the_order_of_what_they_teach(good, write):
    path = write(TABLE4 + PRINTED_ONLY)
    table = load_table(path)
    order = in_running_order(table, table_rows(table, path))
    names = ("soft_dynamic", "no_refinery", "soft_static", "hard_dynamic")
    assert [(name, recipe.seed) for name, recipe in order] == [
        (name, seed) for seed in (0, 1) for name in names
    ]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("id: resnext", "id: soft_static", "literature.soft_static: several rows have this id"),
        ("[soft_dynamic,", "[soft_dynamc,", "first: no row 'soft_dynamc'"),
    ],
)
def test_wrong_printed_and_first_rows(good, write, before, after, message):
    with pytest.raises(RecipeError, match=message):
        load_table(write((TABLE4 + PRINTED_ONLY).replace(before, after)))


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


# Rows that name their stage, a baseline, and the same rows over another recipe.
SCALED = """
title: Scaled
recipe: good.yaml
baseline: plain
seeds: 2
rows:
  - {id: plain, stage: resnet50, paper: {top1: 75.7}}
  - {id: hard, stage: alexnet, set: [stages.alexnet.labels.hard=true]}
  - {id: second, stage: chain_2, set: [stages.chain.epochs=7]}
without: {binary: no binary layers}
scales:
  half: {recipe: small.yaml, set: [stages.resnet50.epochs=3]}
  rows_of_one: {set: [data.flip=0.0], without: {second: takes too long}}
"""
CHAIN = """
  - {id: chain, model: {name: resnet8}, optimizer: {name: sgd, lr: 0.1},
     schedule: {name: constant}, epochs: 5, generations: 3}
  - {id: start, model: {name: resnet8}, optimizer: {name: sgd, lr: 0.1},
     schedule: {name: constant}, epochs: 5, init_from: chain_3}
"""


@pytest.fixture
def scaled(good, write):
    good.write_text(good.read_text() + CHAIN)
    write(good.read_text().replace("epochs: 200", "epochs: 20"), "small.yaml")
    return write(SCALED)


def stages_of(path, scale=None):
    table = at_scale(load_table(path), scale, path)
    return {
        row: [(each.id, each.epochs) for each in recipe.stages]
        for row, recipe in table_rows(table, path)
    }


def test_a_row_with_a_stage_trains_that_and_what_it_needs(scaled):
    assert stages_of(scaled) == {
        "plain": [("resnet50", 200)],
        "hard": [("resnet50", 200), ("alexnet", 200)],
        "second": [("chain", 7), ("chain_2", 7)],
    }
    table = load_table(scaled)
    recipe = dict(table_rows(table, scaled))["hard"]
    assert load_recipe_again(recipe) == recipe


def load_recipe_again(recipe):
    """The recipe as its run folder would give it back."""
    return check(parse(dump(recipe)), Recipe, source="dump")


def test_a_stage_that_starts_from_another_needs_it(scaled, write):
    path = write(SCALED.replace("stage: chain_2", "stage: start"))
    assert [name for name, _ in stages_of(path)["second"]] == [
        *("chain", "chain_2", "chain_3", "start")
    ]


def test_a_scale_is_the_same_rows_over_another_recipe(scaled):
    assert stages_of(scaled, "half") == {
        "plain": [("resnet50", 3)],
        "hard": [("resnet50", 3), ("alexnet", 20)],
        "second": [("chain", 7), ("chain_2", 7)],
    }
    table = at_scale(load_table(scaled), "rows_of_one", scaled)
    jobs = table_rows(table, scaled, ["data.workers=5"])
    assert [row for row, _ in jobs] == ["plain", "plain", "hard", "hard"]
    assert {(r.seed, r.data.flip, r.data.workers) for _, r in jobs} == {(0, 0, 5), (1, 0, 5)}
    assert table.without == {"binary": "no binary layers", "second": "takes too long"}
    with pytest.raises(RecipeError, match="row 'second' is left out: takes too long"):
        check_rows(["second"], table, scaled)
    with pytest.raises(RecipeError, match=r"no row 'had'. Did you mean 'hard'\? Rows: \['plain'"):
        check_rows(["hard", "had"], table, scaled)


def test_an_unknown_scale_is_told_with_the_names(scaled, write):
    with pytest.raises(RecipeError) as caught:
        at_scale(load_table(scaled), "haf", scaled)
    assert str(caught.value) == (
        f"{scaled}: no scale 'haf'. Did you mean 'half'? Scales: half, rows_of_one"
    )
    plain = write(TABLE4)
    with pytest.raises(RecipeError, match=r"no scale 'half'\. It has none"):
        at_scale(load_table(plain), "half", plain)


def test_what_a_run_keeps_of_its_table(scaled):
    table = at_scale(load_table(scaled), "half", scaled)
    facts = table_facts(table, table_rows(table, scaled), "half", smoke=False)
    assert (facts["title"], facts["scale"], facts["recipe"]) == ("Scaled", "half", "small")
    assert facts["without"] == {"binary": "no binary layers"}
    more = table.model_copy(update={"seeds": (0, 1, 2, 3)})
    again = table_facts(more, table_rows(more, scaled), "half", smoke=False)
    assert again["digest"] == facts["digest"]
    other = table_rows(table, scaled, ["stages.chain.epochs=8"])
    assert table_facts(table, other, "half", smoke=False)["digest"] != facts["digest"]
    assert facts["rows"] == [
        {"id": "plain", "stage": "resnet50", "baseline": None, "paper": {"top1": 75.7}},
        {"id": "hard", "stage": "alexnet", "baseline": "plain", "paper": {}},
        {"id": "second", "stage": "chain_2", "baseline": "plain", "paper": {}},
    ]


WRONG_SCALES = {
    ("baseline: plain", "baseline: plan"): "baseline: no row 'plan' (did you mean 'plain'?)",
    ("id: hard,", "id: hard, baseline: pain,"): (
        "rows.hard.baseline: no row 'pain' (did you mean 'plain'?)"
    ),
    ("{binary:", "{hard:"): "without.hard: is a row of this table",
    ("without: {second:", "without: {secnd:"): (
        "scales.rows_of_one.without.secnd: no row 'secnd' (did you mean 'second'?)"
    ),
    ("without: {second:", "without: {plain:"): (
        "scales.rows_of_one.without.plain: row 'hard' is measured against it\n"
        "{path}: scales.rows_of_one.without.plain: row 'second' is measured against it"
    ),
    ("without: {second: takes too long}", "without: {plain: a, hard: b, second: c}"): (
        "scales.rows_of_one.without: leaves no row"
    ),
    ("stage: alexnet,", "stage: alexnt,"): (
        "rows.hard: good.yaml has no stage 'alexnt' (did you mean 'alexnet'?)"
    ),
    ("top1: 75.7", "top1: 757"): "rows.plain.paper.top1: should be less than or equal to 100",
    ("top1: 75.7", "top_1: 75.7"): "rows.plain.paper.top_1: unknown key (did you mean 'top1'?)",
    ("set: [data.flip=0.0]", "sets: []"): "scales.rows_of_one.sets: unknown key",
}


@pytest.mark.parametrize("change", WRONG_SCALES, ids=lambda change: change[1].strip())
def test_a_wrong_scale_or_baseline_says_so(scaled, write, change):
    path = write(SCALED.replace(*change, 1))
    with pytest.raises(RecipeError) as caught:
        table_rows(load_table(path), path)
    told = WRONG_SCALES[change].format(path=path)
    assert str(caught.value).startswith(f"{path}: {told}")


def test_what_an_alias_repeats_can_be_overridden_alone(good, write):
    """`*name` stands for a copy: an override of one stage leaves the others as they are."""
    path = write(
        good.read_text().replace(
            "labels: {name: refined, by: resnet50}", "labels: &by {name: refined, by: resnet50}"
        )
        + """
  - id: other
    model: {name: alexnet}
    labels: *by
    optimizer: {name: sgd, lr: 0.01}
    schedule: {name: cosine}
    epochs: 200
"""
    )
    recipe = load_recipe(path, ["stages.alexnet.labels.hard=true"])
    assert [stage.labels.hard for stage in recipe.stages[1:]] == [True, False]


def test_a_row_like_another_has_its_overrides_first(good, write):
    like = TABLE4 + "    like: hard_dynamic\n    set: [seed=2]\n"
    rows = {row.id: row.set for row in load_table(write(like)).rows}
    assert rows["soft_dynamic"] == ("stages.alexnet.labels.hard=true", "seed=2")
    assert rows["soft_static"] == ("stages.alexnet.labels.level=image",)


def test_a_row_is_like_an_earlier_one(good, write):
    early = TABLE4.replace("  - id: soft_static\n", "  - id: soft_static\n    like: soft_dynamic\n")
    with pytest.raises(RecipeError, match=r"rows\.soft_static\.like: no earlier row"):
        load_table(write(early))
