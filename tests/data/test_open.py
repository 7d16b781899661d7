"""Opening by name."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from tests.data.pictures import class_folders
from tinyrefinery.data.open import SOURCES, open_data
from tinyrefinery.errors import DataError


@pytest.mark.parametrize("name", list(SOURCES))
def test_every_source_is_there_and_takes_what_is_settled_for_it(name: str):
    module, function, settled = SOURCES[name]
    opener = getattr(import_module(f"tinyrefinery.data.sources.{module}"), function)
    parameters = inspect.signature(opener).parameters
    assert set(settled) <= set(parameters)
    clash = set(inspect.signature(open_data).parameters) & (set(parameters) - set(settled))
    assert clash <= {"options"}


def test_limits_keep_a_stratified_part_of_each_split(tmp_path: Path):
    class_folders(tmp_path)
    dataset = open_data(
        "folder", root=str(tmp_path), validation=0.4, train_limit=6, validation_limit=2
    )
    labels = dataset.manifest.labels
    for split, each in (("train", [3, 3]), ("validation", [1, 1])):
        rows = dataset.manifest.rows(split)
        assert sorted(labels[rows].tolist()) == [0] * each[0] + [1] * each[1]


def test_unknown_names_and_options_are_named_with_the_nearest(tmp_path: Path):
    with pytest.raises(DataError, match=r"no data source 'foldr'\. Did you mean 'folder'.*svhn"):
        open_data("foldr")
    with pytest.raises(DataError, match=r"'folder' has no option 'validaton'\. Did you mean 'val"):
        open_data("folder", root=tmp_path, validaton=0.1)
    with pytest.raises(DataError, match="'folder' needs the option 'root'"):
        open_data("folder")
    with pytest.raises(DataError, match="'cifar10' has no option 'name_'"):
        open_data("cifar10", root=tmp_path, name_="x")
