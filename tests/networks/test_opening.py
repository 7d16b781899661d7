"""What a user may type for a network, in odd forms."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.networks.runs import write_network, write_run
from tinyrefinery.errors import CheckpointError, ChoiceError, DataError
from tinyrefinery.networks.opening import open_network, open_networks
from tinyrefinery.runs.origins import find_origin
from tinyrefinery.runs.run_folder import open_run
from tinyrefinery.runs.stage_digests import write_done
from tinyrefinery.runs.stage_record import read_plain_facts, stage_json


def stage_folder(run: Path, stage: str = "plain") -> Path:
    (folder,) = (run / "stages").glob(f"{stage}-*")
    return folder


def test_a_link_to_a_network_is_that_network(run, tmp_path):
    link = tmp_path / "best.safetensors"
    link.symlink_to(stage_folder(run) / "model.safetensors")
    network = open_network(link)
    assert network.trained is not None  # else its training images would count as held out
    assert network.trained.stage == "plain"


def test_a_foreign_file_in_a_stage_folder_is_not_that_network(run):
    foreign = write_network(stage_folder(run) / "other.safetensors", "foreign")
    assert open_network(foreign).trained is None
    origin = find_origin([f"file:{foreign}"], ["x"])
    assert (origin.unknown, origin.seen) == ((f"file:{foreign}",), frozenset())


def test_a_missing_file_in_a_stage_folder_is_missing(run):
    with pytest.raises(DataError, match=r"modle\.safetensors: there is no"):
        open_network(stage_folder(run) / "modle.safetensors")
    with pytest.raises(DataError, match="there is no such run folder or network file"):
        open_network(stage_folder(run) / "best")


def test_a_file_of_another_kind_is_not_called_truncated(run):
    file = stage_folder(run) / "notes.txt"
    file.write_text("remember the milk\n" * 9)
    with pytest.raises(CheckpointError, match=r"notes\.txt: is not a network file"):
        _ = open_network(file).info


def test_a_stage_folder_is_no_run_folder_and_the_message_names_the_run(run):
    with pytest.raises(DataError, match=f"is in a run, but no run folder. Give {run}"):
        open_run(stage_folder(run))


def test_the_folder_of_an_older_network_still_means_it(run):
    newer = stage_folder(run)
    older = shutil.copytree(newer, newer.with_name("plain-0ld0ld0l"))
    (older / "stage.json").write_text(stage_json(read_plain_facts(older) | {"key": "0ld0ld0l"}))
    write_done(older, "0ld0ld0l", 1)
    os.utime(older / "done.json", (0, 0))
    assert open_network(older).digest == "0ld0ld0l"
    assert open_network(older / "model.safetensors").digest == "0ld0ld0l"
    (older / "done.json").unlink()
    with pytest.raises(DataError, match="not finished"):
        open_network(older)


def test_a_tilde_that_stands_for_nobody_is_a_name():
    for opened in (open_network, lambda word: open_networks([word])):
        with pytest.raises(DataError, match="~nobody-here/run: there is no such"):
            opened("~nobody-here/run")


def test_the_last_stage_is_the_recipe_s_whichever_rows_share_the_others(run):
    """Rows of a table often share their refiner, and each has a student of its own."""
    for stage, rows in (("plain", ["l2", "kl"]), ("refined", ["l2"])):
        file = stage_folder(run, stage) / "stage.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"rows": rows}))
    for row in (None, "l2"):
        opened = open_network(run, row=row).stage
        assert opened is not None
        assert opened.stage == "refined"


def test_a_stage_that_the_recipe_has_no_longer_is_not_its_last(run):
    recipe = run / "recipe.yaml"
    before, _, _ = recipe.read_text().partition("  - id: refined")
    recipe.write_text(before)
    opened = open_network(run).stage
    assert opened is not None
    assert opened.stage == "plain"


def test_a_choice_that_contradicts_a_stage_s_folder_is_an_error(run):
    folder = stage_folder(run)
    assert open_network(folder, stage="plain", seed=0).stage is not None
    for choice in ({"stage": "refined"}, {"seed": 3}, {"row": "a"}):
        with pytest.raises(ChoiceError, match=f"not {next(iter(choice.values()))}"):
            open_network(folder, **choice)


def test_networks_of_runs_of_the_same_name_are_told_apart(run, photos, tmp_path):
    other = write_run(tmp_path / "tuesday" / "run", photos)
    names = [network.name for network in open_networks([run, other], stages=["plain"])]
    assert names == [f"{run} plain (seed 0)", f"{other} plain (seed 0)"]
    with pytest.raises(DataError, match="named twice"):
        open_networks([run, stage_folder(run)])


def test_a_choice_of_a_lone_file_is_an_error(tmp_path):
    file = write_network(tmp_path / "net.safetensors", "alone")
    with pytest.raises(ChoiceError, match=r"is one network.*remove --stage, --seed"):
        open_network(file, stage="refined", seed=1)
    with pytest.raises(ChoiceError, match=r"timm:resnet18: is one network.*remove --row"):
        open_network("timm:resnet18", row="l2")
