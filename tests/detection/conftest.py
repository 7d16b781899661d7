"""A detector trained once, at two seeds."""

import pytest

from tests.detection.tiny_detector import run_detection, tiny


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return run_detection(tiny(), folder, seeds=2), folder
