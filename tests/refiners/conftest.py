"""A finished run of two generations, made once for all tests of what is asked of it."""

from pathlib import Path

import pytest

from tests.recipe_files import write_tiny
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder; one seed, stages `plain` and `refined`."""
    folder = tmp_path_factory.mktemp("assessed")
    run([Job(load_recipe(write_tiny(folder)))], folder / "run")
    return folder / "run"
