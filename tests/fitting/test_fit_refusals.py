"""What `fit` refuses before it trains anything, and what it keeps for the next command."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.fitting.test_look import CLASSES, write_pictures
from tinyrefinery.errors import BudgetError, DataError, StorageError
from tinyrefinery.fitting import choose_refiner, final_network, fit_pictures
from tinyrefinery.fitting.choose_refiner import check_refiner, make_refiner
from tinyrefinery.fitting.diary import NAME, Diary
from tinyrefinery.fitting.fit_options import FitOptions
from tinyrefinery.fitting.fit_pictures import check_place, open_for_fit
from tinyrefinery.fitting.fit_recipes import POOL, Plan
from tinyrefinery.fitting.look import look_at
from tinyrefinery.fitting.search_space import Rejected
from tinyrefinery.fitting.shipping import ONNX
from tinyrefinery.fitting.trials import without_test
from tinyrefinery.options.budget import Budget
from tinyrefinery.reading.json_text import read_json_object
from tinyrefinery.runs.lock import locked

FIT = fit_pictures.fit_pictures


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / "photos", dict.fromkeys(CLASSES, 30))


@pytest.fixture
def without_converter(monkeypatch):
    monkeypatch.setattr(fit_pictures, "usable_target", lambda say: (ONNX, ""))


def test_a_limit_that_is_not_named_is_the_usual_one():
    assert FitOptions(budget=Budget(flash=90_000)).limits.limits == {
        "flash": 90_000,
        "ram": 64_000,
    }
    assert FitOptions(budget=Budget(macs=5)).limits.limits == {
        "flash": 100_000,
        "ram": 64_000,
        "macs": 5,
    }
    # Files lie on a card there, so nothing limits them.
    assert FitOptions(device="pi-zero").limits.limits == {"ram": 2**28}


@pytest.mark.parametrize("place", ["", "fit/photos"])
def test_no_file_is_written_among_the_pictures(pictures, place, without_converter):
    before = sorted(pictures.rglob("*"))
    with pytest.raises(DataError, match="lies in the folder of the pictures"):
        FIT(pictures, FitOptions(), pictures / place)
    assert sorted(pictures.rglob("*")) == before


def test_a_recipe_of_the_user_is_not_overwritten(pictures, tmp_path, without_converter):
    out = tmp_path / "out"
    out.mkdir()
    (out / "recipe.yaml").write_text("mine")
    with pytest.raises(DataError, match=r"holds recipe\.yaml that no search wrote"):
        FIT(pictures, FitOptions(), out)
    assert [path.name for path in out.iterdir()] == ["recipe.yaml"]
    (out / NAME).touch()
    check_place(pictures, out)


def test_one_command_at_a_time_in_a_folder(pictures, tmp_path, without_converter):
    out = tmp_path / "out"
    with (
        locked(out),
        pytest.raises(StorageError, match="another command is running in this folder"),
    ):
        FIT(pictures, FitOptions(), out)
    assert not (out / NAME).exists()


def test_nothing_fits_then_a_larger_budget_in_the_same_folder(
    pictures, tmp_path, without_converter, monkeypatch
):
    def found(sizes, limits, cost, families):
        far, near = Rejected("a", (32, 32), "far", 9.0), Rejected("b", (48, 48), "near", 1.5)
        return [], [far, far, far, near]

    monkeypatch.setattr(fit_pictures, "feasible", found)
    options = FitOptions(budget=Budget(flash=2_000, macs=7))
    with pytest.raises(BudgetError, match="The smallest: b at 48x48 pixels: near; a at") as caught:
        FIT(pictures, options, tmp_path / "out")
    assert "Raise --flash or --ram or --macs" in str(caught.value)
    # The same pictures, written in another way.
    with pytest.raises(BudgetError):
        FIT(f"{pictures}/", FitOptions(budget=Budget(flash=3_000)), tmp_path / "out")


def test_other_options_of_the_pictures_are_another_search(
    pictures, tmp_path, without_converter, monkeypatch
):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_pictures.Search, "choose", stop)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        FIT(pictures, FitOptions(), out)
    diary = Diary(out, read_json_object(out / NAME)["request"])
    diary.decide("speeds", lambda: {})
    with pytest.raises(KeyboardInterrupt):
        FIT(f"{pictures}/", FitOptions(), out)
    with pytest.raises(DataError, match="is of another search: source was"):
        FIT(pictures, FitOptions(), out, ["channels=1"])


def test_gray_and_size_do_not_depend_on_test_pictures(tmp_path):
    root = write_pictures(tmp_path / "p" / "train", dict.fromkeys(CLASSES, 30), color=False)
    write_pictures(tmp_path / "p" / "test", dict.fromkeys(CLASSES, 60), (90, 90))
    source, data = open_for_fit(root.parent, [])
    assert source["channels"] == 1
    assert (look_at(data).height, look_at(data).width) == (50, 50)


def test_a_refiner_that_is_not_there_is_refused_at_once(pictures, tmp_path, without_converter):
    with pytest.raises(DataError, match=r"nowhere\.pt: there is no such file"):
        FIT(pictures, FitOptions(refiner="nowhere.pt"), tmp_path / "out")
    options = FitOptions(refiner="timm:resnet18", refiner_weights="nowhere.pt")
    with pytest.raises(DataError, match=r"--refiner-weights nowhere\.pt: no such file"):
        FIT(pictures, options, tmp_path / "out")
    assert not (tmp_path / "out" / NAME).exists()


@pytest.mark.parametrize(
    ("network", "wrong"),
    [
        ({"channels": 1}, r"takes images of 1 channels.* Add channels=1"),
        ({"kind": "onnx", "classes": ("bird", "dog")}, r"\(lacks cat, fish; has dog besides\)"),
    ],
)
def test_a_refiner_that_can_not_be_used(pictures, monkeypatch, network, wrong):
    usual = {"kind": "file", "classes": CLASSES, "channels": 3}
    opened = SimpleNamespace(**(usual | network))
    monkeypatch.setattr(choose_refiner, "open_network", lambda word, stated: opened)
    with pytest.raises(DataError, match=wrong):
        check_refiner("net", None, open_for_fit(pictures, [])[1])


def test_a_refiner_resumes_with_the_epochs_that_it_began_with(pictures, tmp_path, monkeypatch):
    source, data = open_for_fit(pictures, [])
    plan, recipes, speeds = Plan(source, look_at(data), 0), [], iter([7, 9])

    def interrupted(recipe, *_, **__):
        recipes.append(recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr(choose_refiner, "train_trial", interrupted)
    monkeypatch.setattr(choose_refiner, "_fitting", lambda *_: ((32, 32), next(speeds)))
    monkeypatch.setattr(choose_refiner, "at_hand", lambda: None)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            make_refiner(
                *(None, None),
                plan=plan,
                data=without_test(data),
                folder=tmp_path,
                seconds=9,
                say=print,
                decide=Diary(tmp_path, {}).decide,
            )
    assert recipes[1] == recipes[0]
    assert recipes[0].stages[0].epochs == 7


def test_epochs_of_the_network_that_ships():
    fit = final_network.epochs_in
    choice: Any = SimpleNamespace(seconds_per_epoch=2.0, label_seconds=8.0, epochs=5)
    assert fit(100, choice) == 10
    assert fit(POOL * 10 + 50, choice) == POOL + 25  # further epochs read labels that are there
    assert fit(-5, choice) <= 0
