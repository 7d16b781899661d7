"""The extension, compiled from these sources."""

import importlib.util
import shutil
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest

import hatch_build
from tinyrefinery.packed import packed_runtime


@pytest.fixture(scope="session")
def extension(tmp_path_factory):
    """The extension as an install builds it; skips without a C compiler."""
    if not any(map(shutil.which, hatch_build.COMPILERS)):
        pytest.skip("no C compiler is installed")
    folder = tmp_path_factory.mktemp("native")
    assert hatch_build.build_extension(folder) == ""
    path = str(Path(folder) / hatch_build.EXTENSION)
    loader = ExtensionFileLoader("tinyrefinery.packed._native", path)
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def native(extension, monkeypatch):
    """Packed networks run by the extension."""
    monkeypatch.setattr(packed_runtime, "native", extension)
    return extension
