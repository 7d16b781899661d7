"""The pytest plugin, run by pytest itself."""

import pytest

from tests.networks.runs import write_photos, write_run

pytest_plugins = ["pytester"]

TEXT = """
defaults: {min_n: 300}
tests:
  counted: {metric: errors, at_most: 1000, min_n: 1}
  fails: {metric: errors, at_most: 0, min_n: 1}
  few: {at_least: 0.01}
  known: {metric: errors, at_most: 0, min_n: 1, known_failure: for now}
  surprise: {metric: errors, at_most: 1000, min_n: 1, known_failure: for now}
  broken: {where: lable = 'x', at_least: 0}
"""


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", write_photos(tmp_path / "photos", 60))


@pytest.fixture
def with_plugin(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makefile(".yaml", data_tests=TEXT, other="tests: {it: {at_lest: 1}}")
    pytester.makepyfile(
        "import sys\ndef test_nothing_is_imported():\n"
        "    heavy = {'tinyrefinery.networks', 'tinyrefinery.data_tests', 'numpy', 'torch'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )

    def call(*options):
        return pytester.runpytest_subprocess("-p", "tinyrefinery.pytest_plugin", *options)

    return call


def test_without_a_run_nothing_is_collected_or_imported(with_plugin):
    with_plugin().assert_outcomes(passed=1)


def test_verdicts_as_outcomes(with_plugin, run):
    done = with_plugin("--tinyrefinery-run", str(run), "-rs", "data_tests.yaml")
    done.assert_outcomes(passed=2, failed=2, skipped=1, xfailed=1)
    text = done.stdout.str()
    assert "TOO FEW: accuracy" in text
    assert "FAIL errors" in text
    assert "Did you mean 'label'" in text
    assert "worst of" in text
    assert "Traceback" not in text


def test_release(with_plugin, run):
    done = with_plugin("--tinyrefinery-run", str(run), "--tinyrefinery-release", "data_tests.yaml")
    done.assert_outcomes(passed=2, failed=3, xfailed=1)


def test_a_wrong_file_or_run_is_an_error_of_collection(pytester, with_plugin, run):
    pytester.makefile(".yaml", my_data_tests="tests: {it: {at_lest: 1}}")
    done = with_plugin("--tinyrefinery-run", str(run), "my_data_tests.yaml")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*did you mean 'at_least'*"])
    done = with_plugin("--tinyrefinery-run", "nowhere", "data_tests.yaml")
    done.stdout.fnmatch_lines(["*no such run folder*"])


def test_a_baseline(with_plugin, run, pytester):
    pytester.makefile(".yaml", worse_data_tests="tests: {it: {max_regression: 0, min_n: 1}}")
    options = ("--tinyrefinery-run", str(run), "--tinyrefinery-baseline", str(run))
    with_plugin(*options, "worse_data_tests.yaml").assert_outcomes(passed=1)
