"""A fake run folder for every test of the reports."""

from pathlib import Path

import pytest

from tests.reports.fake_run import write_fake_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_fake_run(tmp_path / "runs" / "demo")
