"""Opening by name."""

from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from tests.data.pictures import class_folders
from tinyrefinery.data.open import KINDS, OPENERS, open_data, open_source
from tinyrefinery.errors import DataError
from tinyrefinery.options.sources import Given, Source


def test_every_source_of_recipes_has_an_opener():
    union, _ = get_args(Source)
    assert {*OPENERS, Given} == set(get_args(union))
    for place in OPENERS.values():
        module, _, function = place.partition(":")
        assert callable(getattr(import_module(f"tinyrefinery.data.sources.{module}"), function))
    assert {"street_numbers", "folder", "cifar10", "voc"} < set(KINDS)


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
    with pytest.raises(DataError, match=r"'folder': validaton: .*did you mean 'validation'"):
        open_data("folder", root=tmp_path, validaton=0.1)
    with pytest.raises(DataError, match="'folder': root: missing"):
        open_data("folder")
    with pytest.raises(DataError, match="'cifar10': name_: unknown key"):
        open_data("cifar10", root=tmp_path, name_="x")


def test_a_handed_over_dataset_cannot_be_opened_again():
    with pytest.raises(DataError, match=r"handed over by Python code.*name: folder"):
        open_source(Given(digest="0" * 64))
