"""What the words of a command line mean."""

import pytest

from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.refiners.compared_networks import recipe_for, split_words
from tinyrefinery.runs.run_folder import open_run


def test_overrides_among_networks(tmp_path):
    words = ["runs/demo", "data.source.root=x/", "timm:resnet10t", "seed=3"]
    assert split_words(words) == (words[::2], words[1::2])
    there = tmp_path / "a=b"
    there.mkdir()
    assert split_words([str(there)]) == ([str(there)], [])


def test_a_run_is_its_stages(finished):
    targets = open_networks([str(finished)])
    assert [each.name for each in targets] == ["plain (seed 0)", "refined (seed 0)"]
    assert [each.stage.generation for each in targets] == [1, 2]
    (one,) = open_networks([str(finished)], stages=["refined"], seeds="all")
    assert one.source.startswith("file:")
    assert one.run == finished
    with pytest.raises(DataError, match=r"no finished stage 'refind'.*'refined'"):
        open_networks([str(finished)], stages=["refind"])
    with pytest.raises(DataError, match="such a seed"):
        open_networks([str(finished)], seeds=[7])


def test_files_and_folders(finished):
    stage = next(finished.glob("stages/plain-*"))
    for word in (str(stage), str(stage / "model.safetensors"), f"file:{stage}"):
        (target,) = open_networks([word])
        assert target.source == f"file:{stage / 'model.safetensors'}"
        assert recipe_for([target], None, []).title == "a tiny chain"
    assert open_networks(["timm:resnet10t"])[0].source == "timm:resnet10t"
    with pytest.raises(DataError, match="named twice"):
        open_networks([str(stage), str(stage)])
    with pytest.raises(DataError, match="no such run folder or network file"):
        open_networks([str(finished / "nothing")])
    with pytest.raises(DataError, match="no network is named"):
        open_networks([])


def test_the_recipe(finished):
    timm = open_networks(["timm:resnet10t"])
    with pytest.raises(RecipeError, match="on which data"):
        recipe_for(timm, None, [])
    own = open_networks([str(finished)])
    assert recipe_for(own, None, ["data.source.noise=0.2"]).data.source.noise == 0.2
    assert recipe_for(own, "starter/demo", []).title.startswith("Street numbers")
    assert len(open_run(finished).stages) == 2
