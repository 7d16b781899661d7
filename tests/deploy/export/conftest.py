"""A run to export, and the converter to LiteRT where it can be installed."""

import pytest

from tests.networks.runs import write_photos, write_run
from tinyrefinery.device.tool_environment import tool_python
from tinyrefinery.errors import RefineryError


@pytest.fixture(scope="session")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    write_run(folder / "run", write_photos(folder / "photos", n=96))
    return folder


@pytest.fixture
def run(_folder):
    return _folder / "run"


@pytest.fixture
def photos(_folder):
    return _folder / "photos"


@pytest.fixture(scope="session")
def converter():
    pytest.importorskip("ai_edge_litert")
    try:
        tool_python(lambda text: None)
    except RefineryError as error:
        pytest.skip(f"the LiteRT converter is not available: {error}")
