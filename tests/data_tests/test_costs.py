"""Data tests of flash, RAM, multiply-accumulates and latency."""

import json
from dataclasses import asdict
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert")

from tests.device.litert_files import random_network
from tinyrefinery.cli.main import app
from tinyrefinery.data_tests.costs import Costs, judge_cost
from tinyrefinery.data_tests.data_test_file import DataTest, load_suite
from tinyrefinery.data_tests.network_costs import network_costs
from tinyrefinery.data_tests.reports.terminal import history_table
from tinyrefinery.data_tests.verdicts import Verdict
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.errors import DataTestError
from tinyrefinery.networks.opening import open_network

FILE = Costs("net.tflite", 98_000, 60_000, 12_500_000, 1.5)
BOUND = Costs("run", 110_000, 70_000, 12_500_000, is_bound=True, missing="export it first")


def judged(metric, at_most, costs):
    return judge_cost("cost", DataTest(metric=metric, at_most=at_most), costs)


@pytest.mark.parametrize(
    ("metric", "at_most", "need", "verdict"),
    [
        ("flash", "98kB", "<= 98,000 bytes", Verdict.PASS),
        ("flash", "97.9kB", "<= 97,900 bytes", Verdict.FAIL),
        ("ram", "64KiB", "<= 65,536 bytes", Verdict.PASS),
        ("macs", "12M", "<= 12,000,000", Verdict.FAIL),
        ("latency", "1.5ms", "<= 1.5 ms", Verdict.PASS),
        ("latency", "900us@host", "<= 0.9 ms", Verdict.FAIL),
    ],
)
def test_costs_of_a_file(metric, at_most, need, verdict):
    result = judged(metric, at_most, FILE)
    assert (result.need, result.verdict) == (need, verdict)
    assert result.remark == "of net.tflite"


def test_a_bound_passes_or_is_unproven_but_fails_nothing_except_products():
    assert judged("ram", "70kB", BOUND).verdict is Verdict.PASS
    over = judged("ram", "69kB", BOUND)
    assert over.verdict is Verdict.UNPROVEN
    assert over.remark.startswith("at most, foretold for run; for the exact cost: tinyrefinery exp")
    assert judged("macs", "12M", BOUND).verdict is Verdict.FAIL
    with pytest.raises(DataTestError, match="export it first"):
        judged("latency", "20ms", BOUND)


@pytest.mark.parametrize(
    ("test", "wrong"),
    [
        ("{metric: ram, at_most: few}", "'few' is not an amount. Write e.g. 0.1, 64kB or 20ms"),
        ("{metric: ram, at_least: 0.5}", "ram needs at_most, e.g. 64kB"),
        ("{metric: ram, at_most: 1kB, where: label = 'a'}", "where: has no effect with ram"),
        ("{metric: ram(a), at_most: 1kB}", "ram takes no class"),
        ("{metric: accuracy, at_most: 64kB}", "must be a share from 0 to 1"),
        ("{metric: rom, at_most: 64kB}", "Did you mean 'ram'?"),
        ("{metric: latency, at_most: 64kB}", "'64kB' is not a bound of latency. Write e.g. 20ms"),
        ("{metric: flash, at_most: 20ms}", "'20ms' is not a bound of flash. Write e.g. 64kB"),
        (
            "{metric: macs, at_most: 20us@host}",
            "'20us@host' is not a bound of macs. Write e.g. 15M",
        ),
        ("{metric: ram, at_most: 1kB, threshold: 0}", "threshold: has no effect with ram"),
    ],
)
def test_wrong_tests(tmp_path, test, wrong):
    path = tmp_path / "data_tests.yaml"
    path.write_text(f"tests: {{it: {test}}}")
    with pytest.raises(DataTestError) as caught:
        load_suite(path)
    assert wrong in str(caught.value)


def test_the_costs_of_a_run_are_foretold_until_it_is_exported(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = open_network(run)
    foretold = network_costs(network, latency=True)
    assert foretold.is_bound
    assert foretold.latency is None
    file = tmp_path / "exports" / f"{network.slug}.int8.tflite"
    file.parent.mkdir()
    random_network(file, 3)
    record = {"digest": network.digest, "bytes": file.stat().st_size}
    file.with_name(f"{file.name}.json").write_text(json.dumps(record))
    exported = network_costs(network, latency=True)
    assert not exported.is_bound
    assert exported.of == f"exports/{file.name}"
    assert exported.ram == device_cost(file).ram
    assert exported.latency is not None
    assert exported.latency > 0
    file.with_name(f"{file.name}.json").write_text(json.dumps(record | {"digest": "other"}))
    assert network_costs(network, latency=False).is_bound


def test_the_command_prints_costs_and_exits_with_1(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tests = tmp_path / "data_tests.yaml"
    tests.write_text(
        "tests: {small: {metric: flash, at_most: 100MB}, few: {metric: macs, at_most: 10}}"
    )
    done = CliRunner().invoke(app, ["test", str(run), str(tests)])
    assert done.exit_code == 1, done.output
    assert "PASS" in done.output
    assert "<= 100,000,000" in done.output
    assert "1 FAIL, 1 PASS" in done.output


def test_a_history_has_costs_with_their_units():
    result = asdict(judged("latency", "1ms", Costs("net.tflite", latency=0.0312)))
    kept = {"network": "net", "when": "2026-01-01T00:00", "data_digest": "1"}
    kept |= result | {"verdict": result["verdict"].value}
    console = Console(width=120, file=StringIO())
    console.print(history_table([kept]))
    line = next(line for line in console.file.getvalue().splitlines() if "2026" in line)
    assert "0.0312 ms" in line
    assert " to " not in line
