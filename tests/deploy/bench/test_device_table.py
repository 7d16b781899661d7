"""The table of flash, arena, products and latency, and its limits."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert")

from tests.device.litert_files import Writer
from tinyrefinery.cli.main import app
from tinyrefinery.deploy.bench import device_table as device_table_module
from tinyrefinery.deploy.bench.device_table import device_table
from tinyrefinery.deploy.emulation.counting import Counted, count_instructions
from tinyrefinery.deploy.toolchain.processors import PROCESSORS
from tinyrefinery.device.device_cost import device_cost


def small(folder):
    """An image (1, 8, 8, 3) -> a convolution -> its mean, two classes."""
    writer = Writer()
    image = writer.tensor((1, 8, 8, 3))
    wide = writer.conv(image, 2, side=1)
    pool = {"strideH": 8, "strideW": 8, "filterHeight": 8, "filterWidth": 8, "padding": 1}
    mean = writer.operator("AVERAGE_POOL_2D", "Pool2DOptions", [wide], (1, 1, 1, 2), **pool)
    flat = writer.operator("RESHAPE", "ReshapeOptions", [mean], (1, 2), newShape=[1, 2])
    return writer.write(folder / "small.tflite", [image], [flat])


def test_bench_lists_litert_files_and_exits_with_1_above_a_limit(tmp_path):
    file, out = small(tmp_path), tmp_path / "bench.json"
    command = ["bench", str(file), str(file), "--passes", "5", "--json", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    first, second = json.loads(out.read_text())["lines"]
    assert first["name"] == "small.tflite"
    assert first["bytes"] == first["cost"]["flash"] == file.stat().st_size
    assert first["cost"]["macs"] == 8 * 8 * 3 * 2
    assert 0 < second["times"]["p10"] <= second["times"]["median"] <= second["times"]["p90"]
    done = CliRunner().invoke(app, [*command, "--macs", "383"])
    assert done.exit_code == 1
    assert "small.tflite: macs is 384, above the budget of 383" in done.output
    done = CliRunner().invoke(app, [*command, "--ram", "few"])
    assert done.exit_code == 2
    assert "--ram: 'few' is not an amount" in done.output


def test_files_of_the_same_name_are_listed_by_their_paths(tmp_path):
    file = small(tmp_path)
    other, capitals = tmp_path / "other" / "small.tflite", tmp_path / "BIG.TFLITE"
    other.parent.mkdir()
    for copy in (other, capitals):
        copy.write_bytes(file.read_bytes())
    lines = device_table([str(file), str(other), str(capitals)], passes=5).lines
    assert [line.name for line in lines] == [str(file), str(other), "BIG.TFLITE"]
    assert all(line.cost is not None for line in lines)


def test_limits_are_not_ignored_for_onnx_files(tmp_path):
    done = CliRunner().invoke(app, ["bench", str(tmp_path / "net.onnx"), "--flash", "1kB"])
    assert done.exit_code == 2
    assert "net.onnx: --flash, --ram, --macs, --device and --on are about LiteRT files" in " ".join(
        done.output.split()
    )


def test_instructions_need_the_library_and_a_microcontroller(tmp_path, monkeypatch):
    monkeypatch.delenv("TINYREFINERY_TFLM", raising=False)
    file = small(tmp_path)
    done = CliRunner().invoke(app, ["bench", str(file), "--on", "cortex-m4"])
    assert done.exit_code == 2
    assert "--tflm FOLDER" in done.output
    command = ["bench", str(file), "--on", "aarch64", "--tflm", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "--on aarch64: instructions are counted on cortex-m3" in " ".join(done.output.split())


def test_instructions_are_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        device_table_module, "count_instructions", lambda *_: Counted("cortex-m4", 1_234_567, 4_321)
    )
    out = tmp_path / "bench.json"
    command = ["bench", str(small(tmp_path)), "--passes", "5", "--on", "cortex-m4"]
    done = CliRunner().invoke(app, [*command, "--tflm", str(tmp_path), "--json", str(out)])
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "small.tflite on cortex-m4: 1,234,567 instructions per image, 4,321 bytes" in text
    (line,) = json.loads(out.read_text())["lines"]
    assert line["counted"][0]["instructions"] == 1_234_567


@pytest.mark.slow
@pytest.mark.skipif("TINYREFINERY_TFLM" not in os.environ, reason="TINYREFINERY_TFLM is not set")
def test_an_emulator_counts_instructions(tmp_path):
    if PROCESSORS["cortex-m4"].missing:
        pytest.skip(f"{PROCESSORS['cortex-m4'].missing} not found")
    file, tree = small(tmp_path), Path(os.environ["TINYREFINERY_TFLM"])
    once, again = (count_instructions(file, "cortex-m4", tree, print) for _ in range(2))
    assert once == again
    assert once.instructions > 8 * 8 * 3 * 2  # more than its products
    assert 0 < once.arena_used <= device_cost(file).ram
