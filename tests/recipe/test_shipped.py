"""Finding the recipes that come with the package."""

from pathlib import Path

import pytest

from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.shipped import locate, recipes_in, shipped_folder


def test_a_shipped_recipe_has_three_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = shipped_folder() / "starter" / "folder.yaml"
    for name in ("recipes/starter/folder.yaml", "starter/folder.yaml", "starter/folder"):
        assert locate(name) == found


def test_a_file_that_exists_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("starter").mkdir()
    Path("starter/folder.yaml").touch()
    assert locate("starter/folder.yaml") == Path("starter/folder.yaml")
    assert recipes_in(tmp_path) == [tmp_path / "starter" / "folder.yaml"]


def test_an_unknown_name_is_told_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        locate("starter/foldr.yaml")
    assert "starter/foldr.yaml: no such file, and no shipped recipe of that name" in str(
        caught.value
    )
    assert "did you mean starter/folder" in str(caught.value)
    with pytest.raises(RecipeError, match="`tinyrefinery recipe list` lists them"):
        locate("zzz.yaml")
    with pytest.raises(RecipeError, match="no such file"):
        locate("../starter/../folder")


def test_data_tests_may_stand_beside_recipes(tmp_path):
    for name in ("a.yaml", "data_tests.yaml", "night_data_tests.yml"):
        (tmp_path / name).touch()
    assert recipes_in(tmp_path) == [tmp_path / "a.yaml"]
