"""A recipe whose network costs more than its budget is refused before training."""

import pytest
from typer.testing import CliRunner

from tinyrefinery import builders
from tinyrefinery.cli.main import app
from tinyrefinery.deploy import budget_check
from tinyrefinery.deploy.budget_check import check_budgets
from tinyrefinery.device import ethos
from tinyrefinery.device.arena import Arena
from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.device.ethos import EthosCost
from tinyrefinery.errors import BudgetError, RecipeError, RefineryError
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.load import dump, load_recipe, part_hash
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.keys import stage_keys

TRAINING = {
    "optimizer": {"name": "sgd", "lr": 0.1},
    "schedule": {"name": "constant"},
    "epochs": 1,
    "batch_size": 16,
}


def recipe(stages=("resnet8",), **parts):
    scenes = {"name": "street_numbers", "train": 16, "validation": 8, "test": 8, "digits": 1}
    raw = {
        "title": "budgets",
        "data": {
            "source": scenes | {"height": 32, "width": 32},
            "train_crop": {"name": "center", "size": 32},
            "eval_crop": {"name": "center", "size": 32},
        },
        "stages": [
            {"id": name, "model": {"name": name}, **TRAINING, **parts.pop(name, {})}
            for name in stages
        ],
        **parts,
    }
    return check(raw, Recipe, source="test")


@pytest.fixture(scope="module")
def data():
    return builders.dataset(recipe().data)


@pytest.fixture
def no_converter(monkeypatch):
    def refuse(*arguments):
        raise RefineryError("the LiteRT converter can't be installed")

    monkeypatch.setattr(budget_check, "_convert", refuse)


def test_a_network_within_its_budget_is_not_converted(data, monkeypatch):
    monkeypatch.setattr(budget_check, "_convert", lambda *arguments: pytest.fail("was converted"))
    check_budgets(recipe(budget={"flash": "200kB", "ram": "64KiB", "macs": "15M"}), data)
    check_budgets(recipe(), data)


def test_what_is_above_is_named_with_the_stage_and_what_helps(data, no_converter):
    with pytest.raises(BudgetError) as caught:
        check_budgets(recipe(budget={"flash": "80kB", "ram": "200kB", "macs": "12M"}), data)
    text = str(caught.value)
    assert text.startswith("stage resnet8 (resnet8, 32x32 pixels): flash is at most ")
    assert "above the budget of 80,000; macs is 12," in text
    assert "ram is" not in text
    assert "fewer channels (model.kwargs)" in text
    assert "tinyrefinery bench resnet8 --size 32" in text
    assert caught.value.exit_code == 1


def test_the_exact_cost_decides_where_the_bound_is_above(data, monkeypatch):
    exact = DeviceCost(98_000, Arena(51_264, 10_696), 12_504_704)
    monkeypatch.setattr(budget_check, "_convert", lambda *arguments: exact)
    check_budgets(recipe(budget={"flash": "98kB"}), data)
    with pytest.raises(BudgetError, match="flash is 98,000 bytes, 1,000 bytes above the budget"):
        check_budgets(recipe(budget={"flash": "97kB"}), data)


def test_cycles_are_those_of_the_converted_network(data, monkeypatch, tmp_path, caplog):
    limited = recipe(budget={"cycles": "200k@ethos-u55-128"})
    monkeypatch.setattr(budget_check, "_untrained_file", lambda *_: tmp_path / "net.tflite")
    monkeypatch.setattr(ethos, "ethos_cost", lambda _, name, __: EthosCost(name, 218_198, 1, 0))
    with pytest.raises(BudgetError, match="cycles are 218,198, 18,198 above the budget of 200,000"):
        check_budgets(limited, data)
    check_budgets(recipe(budget={"cycles": "219k@ethos-u55-128"}), data)

    def refuse(*arguments):
        raise RefineryError("Vela can't be installed")

    monkeypatch.setattr(ethos, "ethos_cost", refuse)
    check_budgets(limited, data)
    assert "its cycles are not checked before training" in caplog.text


def test_the_recipe_budget_is_of_the_last_stage_alone(data, no_converter):
    both = recipe(("resnet8", "street_cnn"), budget={"macs": "5M"})
    assert both.budget_of("resnet8") is None
    check_budgets(both, data)
    own = recipe(("resnet8", "street_cnn"), resnet8={"budget": {"macs": "5M"}})
    with pytest.raises(BudgetError, match="stage resnet8 "):
        check_budgets(own, data)
    check_budgets(own, data, done=["resnet8"])


def test_a_stage_budget_goes_before_that_of_the_recipe():
    both = recipe(budget={"macs": "5M", "ram": "1MB"}, resnet8={"budget": {"macs": "20M"}})
    budget = both.budget_of("resnet8")
    assert budget is not None
    assert budget.limits == {"ram": 1_000_000, "macs": 20_000_000}


def test_a_budget_changes_neither_keys_nor_names_of_runs(data, tmp_path):
    plain = recipe()
    limited = recipe(budget={"flash": "1kB"}, resnet8={"budget": {"latency": "3ms@host"}})
    assert part_hash(plain) == part_hash(limited)
    assert stage_keys(plain, data) == stage_keys(limited, data)
    assert "budget:" not in dump(plain)
    file = tmp_path / "recipe.yaml"
    file.write_text(dump(limited))
    assert load_recipe(file) == limited


@pytest.mark.parametrize(
    ("budget", "wrong"),
    [
        ({"flash": "few"}, "budget.flash: 'few' is not an amount. Write e.g. 100kB"),
        ({"ram": 1.5}, "budget.ram: '1.5' is not an amount"),
        ({"macs": True}, "budget.macs: 'true' is not an amount"),
        ({"latency": "20ms"}, "'20ms' is not a latency. Write e.g. 20ms@host"),
        ({"latency": "20ms@pi"}, "'20ms@pi': latency is measured on this machine only"),
        ({"cycles": "300k"}, "'300k' is not a limit of cycles. Write e.g. 300k@ethos-u55-128"),
        ({"cycles": "few@ethos-u55-32"}, "is not a limit of cycles"),
        ({"cycles": "300k@npu"}, "no accelerator is named 'npu'. Known: ethos-u55-32"),
        ({"size": "1kB"}, "budget.size"),
    ],
)
def test_wrong_budgets(budget, wrong):
    with pytest.raises(RecipeError) as caught:
        recipe(budget=budget)
    assert wrong in str(caught.value)


def test_run_refuses_before_training_with_exit_code_1(tmp_path, no_converter):
    file = tmp_path / "small.yaml"
    file.write_text(dump(recipe()))
    command = ["run", str(file), "budget.macs=5M", "--runs", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "above the budget of 5,000,000" in " ".join(done.output.split())
    assert not list((tmp_path / "runs").glob("*/stages/*/model.safetensors"))
