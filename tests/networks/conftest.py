"""A folder of photos and a run on it."""

import pytest

from tests.networks.runs import write_photos, write_run


@pytest.fixture(scope="session")
def _photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture
def photos(_photos):
    return _photos


@pytest.fixture
def run(tmp_path, photos):
    return write_run(tmp_path / "run", photos)
