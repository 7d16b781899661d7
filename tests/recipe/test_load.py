"""Loading, overriding, dumping and hashing recipes."""

import subprocess
import sys

import pytest
import yaml
from pydantic import ValidationError

from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.load import canonical, dump, load_recipe, part_hash
from tinyrefinery.recipe.schema import Recipe

BAD_OVERRIDES = {
    "seed": "override 'seed': write path=value, e.g. seed=1",
    "=1": "override '=1': write path=value, e.g. seed=1",
    "a..b=1": "override 'a..b=1': write path=value, e.g. seed=1",
    "stages.alxnet.epochs=1": (
        "override 'stages.alxnet.epochs=1': no element 'alxnet' in stages (did you mean 'alexnet'?)"
    ),
    "stages.0.epochs=1": (
        "override 'stages.0.epochs=1': no element '0' in stages (known: resnet50, alexnet)"
    ),
    "title.x=1": (
        "override 'title.x=1': title is 'small', which has no keys; write title as a whole, "
        "e.g. title={...}"
    ),
    "seed=[1": "override 'seed=[1': expected ',' or ']', but got '<stream end>'",
}


@pytest.mark.parametrize("override", BAD_OVERRIDES)
def test_a_wrong_override_says_so(good, override):
    with pytest.raises(RecipeError) as caught:
        load_recipe(good, [override])
    assert str(caught.value) == BAD_OVERRIDES[override]


def test_overrides_reach_stages_by_id_and_make_what_is_null(good):
    recipe = load_recipe(
        good,
        [
            "seed=7",
            "stages.alexnet.epochs=3",
            "stages.alexnet.optimizer.lr=1e-4",
            "data.color.brightness=0.4",
            "stages.alexnet.labels={name: ground_truth}",
        ],
    )
    assert recipe.seed == 7
    assert recipe.stages[1].epochs == 3
    assert recipe.stages[1].optimizer.lr == 1e-4
    assert recipe.data.color.brightness == 0.4
    assert recipe.stages[1].labels.name == "ground_truth"
    assert recipe.stages[0].epochs == 200


def test_a_home_folder_is_written_out_wherever_a_network_file_is_named(good, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    by = "stages.alexnet.labels={name: refined, by: ['file:~/a.onnx', resnet50]}"
    recipe = load_recipe(
        good,
        [by, "stages.alexnet.init_from=file:~/b.safetensors", "stages.resnet50.model.weights=~/c"],
    )
    assert recipe.stages[1].labels.by == ("file:/home/ada/a.onnx", "resnet50")
    assert recipe.stages[1].init_from == "file:/home/ada/b.safetensors"
    assert recipe.stages[0].model.weights == "/home/ada/c"


def test_null_takes_an_element_out_of_a_list(good):
    recipe = load_recipe(good, ["stages.alexnet=null", "data.color=null"])
    assert [stage.id for stage in recipe.stages] == ["resnet50"]
    with pytest.raises(RecipeError, match="no element 'alexnet' in stages"):
        load_recipe(good, ["stages.alexnet=null", "stages.alexnet.epochs=3"])


def test_the_later_override_wins(good):
    assert load_recipe(good, ["seed=1", "seed=2"]).seed == 2


def test_numbers_as_people_write_them(good):
    override = "stages.alexnet.model.kwargs={a: 1e-4, b: 1.5E3, c: v1e4}"
    kwargs = load_recipe(good, [override]).stages[1].model.kwargs
    assert kwargs == {"a": 0.0001, "b": 1500.0, "c": "v1e4"}


def test_defaults_that_follow_other_fields(good):
    recipe = load_recipe(good)
    plain, refined = recipe.stages
    assert (plain.loss.name, refined.loss.name) == ("cross_entropy", "kl")
    assert refined.loss.direction == "label_to_output"
    assert refined.labels.by == ("resnet50",)
    assert recipe.data.eval_crop.size == (32, 48)
    assert recipe.data.eval_crop.resize is None


def test_normalization_has_a_number_a_channel(good):
    assert load_recipe(good).data.normalization == ((1.347 / 3,), (0.678 / 3,))
    color = load_recipe(good, ["data.source.channels=3", "data.mean=[0.1, 0.2, 0.3]"])
    assert color.data.normalization == ((0.1, 0.2, 0.3), (0.229, 0.224, 0.225))


def test_a_recipe_is_frozen(good):
    with pytest.raises(ValidationError, match="frozen"):
        load_recipe(good).seed = 1


def test_dump_loads_to_the_same_recipe(good, write):
    recipe = load_recipe(good, ["stages.alexnet.labels.by=[resnet50, 'file:a.safetensors']"])
    again = load_recipe(write(dump(recipe)))
    assert again == recipe
    assert part_hash(again) == part_hash(recipe)
    written = yaml.safe_load(dump(load_recipe(good)))
    assert written["stages"][1]["labels"]["by"] == "resnet50"
    assert next(iter(written["stages"][1]["schedule"])) == "name"


def test_hashes_know_settings_and_not_their_writing(good):
    plain = load_recipe(good)
    written_out = load_recipe(good, ["seed=0", "stages.alexnet.optimizer.lr=1e-2"])
    other = load_recipe(good, ["stages.alexnet.optimizer.lr=0.011"])
    assert part_hash(plain) == part_hash(written_out)
    assert part_hash(plain) != part_hash(other)
    assert part_hash(plain.stages[0]) == part_hash(other.stages[0])


def test_hash_is_sha256_of_the_canonical_text(good):
    engine = load_recipe(good).engine
    expected = subprocess.run(
        ["sha256sum"], input=canonical(engine).encode(), capture_output=True, check=True
    ).stdout.split()[0]
    assert part_hash(engine) == expected.decode()
    assert canonical(engine).startswith('{"channels_last":true,"checkpoint_every_epochs":1,')


def test_every_field_is_documented():
    schema = Recipe.model_json_schema()
    undocumented = [
        f"{part}.{name}"
        for part, shape in {"Recipe": schema, **schema["$defs"]}.items()
        for name, field in shape["properties"].items()
        if "description" not in field and name not in SAYS_ITSELF
    ]
    assert undocumented == []


SAYS_ITSELF = {
    *("name", "id", "data", "model", "optimizer", "engine", "chain", "rows"),
    *("eps", "weight_decay", "momentum", "nesterov"),
}


def test_recipes_load_without_torch_or_numpy(good):
    code = (
        "import sys; from tinyrefinery.recipe import load, smoke, table, shipped;"
        f"smoke.smoke(load.load_recipe({str(good)!r}));"
        "print(sorted({'torch', 'numpy', 'pyarrow', 'timm'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


THREE_ALIKE = """
title: small
data: {source: {name: street_numbers}, train_crop: {name: inception, size: 32}}
stages:
  - &one
    {id: one, model: {name: resnet8}, optimizer: {name: sgd, lr: 0.1}, schedule: {name: cosine},
     epochs: 9}
  - {<<: *one, id: two}
  - {<<: *one, id: three, beside: one}
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["stages.three.epochs=8"], "'one' and 'three' must have the same epochs"),
        (["stages.three.init_from=one"], "'three' can't start from 'one' and train beside 'one'"),
        (["stages.three.init_from=two"], "'three' can't start from 'two' and train beside 'one'"),
        (["stages.two.beside=one", "stages.three.beside=two"], "write beside: one"),
        (["stages.three.labels={name: refined, by: [one, two]}"], "one network trained twice"),
    ],
)
def test_stages_in_step_must_fit_together(write, change, message):
    path = write(THREE_ALIKE)
    assert load_recipe(path).stages[2].beside == "one"
    with pytest.raises(RecipeError, match=message):
        load_recipe(path, change)
