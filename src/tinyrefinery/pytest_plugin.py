"""Collect files of data tests with pytest: `pytest --tinyrefinery-run runs/demo`.

Every `*data_tests.yaml` becomes a test file, each of its data tests an item. Without the option
nothing is collected, and nothing is imported.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tinyrefinery.data_tests.verdicts import Result

ENDING = "data_tests.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("tinyrefinery", "data tests of image classifiers")
    group.addoption(
        "--tinyrefinery-run",
        metavar="RUN",
        help="run folder, network or ONNX file; collects *data_tests.yaml, judges it by them",
    )
    group.addoption("--tinyrefinery-baseline", metavar="RUN", help="to compare with")
    group.addoption("--tinyrefinery-like", metavar="RUN", help="what ONNX files were made from")
    group.addoption("--tinyrefinery-release", action="store_true", help="UNPROVEN and TOO FEW fail")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "DataTestFile | None":
    """Collect a file of data tests, where a run is given."""
    if file_path.name.endswith(ENDING) and parent.config.getoption("tinyrefinery_run"):
        return DataTestFile.from_parent(parent, path=file_path)
    return None


class DataTestFile(pytest.File):
    """A file of data tests; it is judged whole, when its tests are collected."""

    def collect(self) -> Iterator["DataTestItem"]:
        """Judge the file, an item a test."""
        from tinyrefinery.data_tests.session import run_tests
        from tinyrefinery.errors import RefineryError
        from tinyrefinery.networks.opening import open_network

        try:
            names = ("tinyrefinery_run", "tinyrefinery_baseline", "tinyrefinery_like")
            given = [self.config.getoption(name) for name in names]
            run, other, like = (Path(str(each)) if each else None for each in given)
            assert run is not None  # else nothing is collected
            network = open_network(run, like=like)
            baseline = open_network(other, like=like) if other else None
            session = run_tests(self.path, network, baseline, like=like)
        except RefineryError as error:
            raise self.CollectError(str(error)) from error
        paths = session.paths
        for result in session.results:
            item = DataTestItem.from_parent(self, name=result.name)
            item.result, item.paths = result, paths
            yield item


class DataTestFailedError(Exception):
    """A data test that doesn't hold. Its message needs no traceback."""


class DataTestItem(pytest.Item):
    """One data test."""

    result: "Result"
    paths: list[str]

    def runtest(self) -> None:
        """Fail, skip or pass as the verdict says."""
        from tinyrefinery.data_tests.reports import texts
        from tinyrefinery.data_tests.verdicts import Verdict

        verdict, message = self.result.verdict, texts.message(self.result)
        open_ends = (Verdict.UNPROVEN, Verdict.TOO_FEW)
        release = self.config.getoption("tinyrefinery_release")
        if verdict in (Verdict.FAIL, Verdict.ERROR) or (release and verdict in open_ends):
            raise DataTestFailedError(f"{texts.word(self.result)} {message}")
        if verdict in open_ends:
            pytest.skip(f"{verdict.value}: {message}")
        if verdict is Verdict.KNOWN:
            pytest.xfail(message)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The verdict with the worst images; no traceback, as no code is at fault."""
        if not isinstance(excinfo.value, DataTestFailedError):
            return str(super().repr_failure(excinfo, style))
        worst = [f"  {self.paths[row]}" for row in self.result.worst[:10]]
        lines = [str(excinfo.value)]
        if worst:
            lines += [f"worst of {self.result.bad:,} images:", *worst]
        return "\n".join(lines)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the test stands."""
        return self.path, None, f"{self.path.name}: {self.name}"
