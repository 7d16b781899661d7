"""A source's keys in a recipe are its opener's keywords, so that neither drifts from the other."""

import inspect
from importlib import import_module

import pytest

from tinyrefinery.data.listing import assemble
from tinyrefinery.data.open import SOURCES, open_data
from tinyrefinery.options import sources

PARTS = {
    "street_numbers": sources.StreetNumbers,
    "folder": sources.Folder,
    "parquet": sources.Parquet,
    "hugging_face": sources.HuggingFace,
    "webdataset": sources.WebDataset,
    **dict.fromkeys(
        ("cifar10", "cifar100", "svhn", "food101", "imagenet", "voc"), sources.Torchvision
    ),
}
LIMITS = {"train_limit", "validation_limit", "test_limit", "limit_seed"}
IN_CODE_ONLY = {"resident_bytes"}


def options_of(name: str) -> dict[str, inspect.Parameter]:
    module, function, settled = SOURCES[name]
    opener = getattr(import_module(f"tinyrefinery.data.sources.{module}"), function)
    given = dict(inspect.signature(opener).parameters)
    if any(option.kind is option.VAR_KEYWORD for option in given.values()):
        given |= inspect.signature(assemble).parameters
        given |= {k: v for k, v in inspect.signature(open_data).parameters.items() if k in LIMITS}
    everywhere = inspect.signature(open_data).parameters
    given |= {option: everywhere[option] for option in ("overlay", "ambiguous")}
    unwanted = {"options", "listing", *settled, *IN_CODE_ONLY}
    return {option: given[option] for option in given if option not in unwanted}


def test_every_source_has_its_part():
    assert set(PARTS) == set(SOURCES)


@pytest.mark.parametrize("name", PARTS)
def test_keys_and_defaults_are_the_openers(name):
    fields = PARTS[name].model_fields
    options = options_of(name)
    assert set(fields) - {"name"} == set(options)
    for option, parameter in options.items():
        needed = parameter.default is parameter.empty
        assert fields[option].is_required() == needed, option
        if not needed:
            assert fields[option].default == parameter.default, option
