"""A run on photos, a third of which are for validation; and its exported artefacts."""

import pytest

from tests.networks.runs import write_photos, write_run


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("exported")
    return write_run(root / "run", write_photos(root / "photos"))
