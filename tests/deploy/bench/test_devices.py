"""Devices by name, and Vela's estimates."""

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert")

from tests.device.litert_files import random_network
from tinyrefinery.cli.main import app
from tinyrefinery.device import ethos, profiles
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.ethos import VELA, EthosCost, ethos_cost
from tinyrefinery.device.profiles import DEVICES, Device, device_named
from tinyrefinery.device.tool_environment import tool_python
from tinyrefinery.errors import RecipeError, RefineryError


def test_every_device_has_a_source_and_a_clock():
    assert len({each.name for each in DEVICES.values()}) == len(DEVICES)
    for each in DEVICES.values():
        assert each.source.startswith("https://")
        assert 10 <= each.mhz <= 5000
        assert each.accelerator is not None or each.ram is not None


def test_an_unknown_device_is_one_message():
    with pytest.raises(RecipeError, match=r"no device is named 'pigo'\. Did you mean 'pico'"):
        device_named("pigo")


def test_devices_are_listed():
    done = CliRunner().invoke(app, ["bench", "--devices"])
    assert done.exit_code == 0
    assert all(name in done.output for name in ("pico", "stm32f746", "ethos-u55-128", "pi5"))


def test_a_model_is_compared_with_the_memory_of_a_device(tmp_path, monkeypatch):
    file, out = random_network(tmp_path / "net.tflite", 3), tmp_path / "bench.json"
    cost = device_cost(file)
    tiny = Device("tiny", "Tiny", "Cortex-M0+", 48, 10**6, cost.ram - 1, "https://example.org")
    monkeypatch.setitem(profiles.DEVICES, "tiny", tiny)
    command = ["bench", str(file), "--passes", "5", "--device", "pico", "--json", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "net.tflite fits into the 270,336 bytes of ram of pico: yes" in done.output
    assert json.loads(out.read_text())["devices"][0]["name"] == "pico"
    done = CliRunner().invoke(app, [*command, "--device", "tiny"])
    assert done.exit_code == 1
    assert f"bytes of ram of tiny: no, it takes {cost.ram:,}" in done.output
    assert f"FAIL net.tflite on tiny: ram is {cost.ram:,} bytes" in " ".join(done.output.split())


def test_estimates_of_vela_are_read_from_its_summary():
    row = {"cycles_total": "218198.0", "sram_memory_used": "50.6875"}  # of Vela 5.2.0 for resnet8
    found = ethos._cost(row, "ethos-u55-128", 2)
    assert found == EthosCost("ethos-u55-128", 218_198, 51_904, 2)


@pytest.mark.slow
def test_vela_estimates_cycles(tmp_path):
    try:
        tool_python(lambda text: None, VELA)
    except RefineryError as error:
        pytest.skip(f"Vela is not available: {error}")
    file = random_network(tmp_path / "net.tflite", 3)
    small, large = (ethos_cost(file, f"ethos-u55-{n}", print) for n in (32, 256))
    assert small.cycles > large.cycles > 0
    assert small.sram > 0
    file.write_bytes(b"not a file")
    with pytest.raises(RefineryError, match=r"net\.tflite: Vela can't compile it"):
        ethos_cost(file, "ethos-u55-32", print)
