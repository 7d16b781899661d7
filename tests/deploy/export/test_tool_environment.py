"""Tool environments: made once, an error without a network, logs of what tools print."""

import sys
from pathlib import Path

import pytest

from tinyrefinery.deploy.export import tool_environment
from tinyrefinery.deploy.export.tool_environment import ToolError, run_logged, tool_python
from tinyrefinery.errors import RefineryError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tools"


def test_without_a_network_one_error_and_nothing_left(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    pins = tmp_path / "pins.txt"
    pins.write_text("no-such-package==1.0\n")
    with pytest.raises(RefineryError, match="check the network, then rerun") as caught:
        tool_python("probe", pins)
    assert not [path for path in cache.iterdir() if path.is_dir()]
    log = str(caught.value).rpartition("Log: ")[2]
    assert "no-such-package" in Path(log).read_text()


def test_an_environment_is_made_once(tmp_path, monkeypatch):
    pins = tmp_path / "pins.txt"
    pins.write_text("# none\n")
    commands = []
    monkeypatch.setattr(tool_environment, "run_logged", lambda c, _: commands.append(c))
    monkeypatch.setattr(tool_environment.Path, "touch", _touch)
    first = tool_python("probe", pins)
    assert len(commands) == 2  # the environment, then its packages
    assert tool_python("probe", pins) == first
    assert len(commands) == 2
    pins.write_text("# others\n")
    assert tool_python("probe", pins) != first


def _touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_what_a_tool_prints_is_in_the_log(tmp_path):
    command = [sys.executable, "-c", "print('step 1'); raise SystemExit('no such operator')"]
    with pytest.raises(ToolError) as caught:
        run_logged(command, tmp_path / "logs" / "tool.log")
    assert caught.value.last_line == "no such operator"
    assert "step 1" in caught.value.log.read_text()
