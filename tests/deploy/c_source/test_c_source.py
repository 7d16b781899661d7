"""C sources: real compilers compile them without a warning, and every bit is as elsewhere."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tests.deploy.integer.int8_files import CASES
from tests.deploy.integer.make_tflm_outputs import REAL
from tests.deploy.integer.tflm_reference import tflm_case
from tinyrefinery.deploy.c_source.c_network import Description, c_name, network_files
from tinyrefinery.deploy.c_source.source_check import (
    STRICT,
    check_sources,
    measure_sources,
    measured_processor,
)
from tinyrefinery.deploy.integer.integer_lowering import plan_network
from tinyrefinery.deploy.integer.memory_plan import plan_memory
from tinyrefinery.deploy.toolchain.processors import PROCESSORS
from tinyrefinery.errors import CheckpointError, RefineryError

ABOUT = Description("T", "a */ run", "net.tflite", "00", "pixels")
STRICTEST = ("-Os", "-Werror")
RESNET8 = REAL[0]
EMULATED = [name for name in PROCESSORS if name != "host"]

compiles = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")


def sources(name: str, folder: Path, *, change: int = 0) -> Path:
    """The sources of a case, whose check expects what LiteRT for Microcontrollers computed."""
    path, images, expected = tflm_case(name, folder)
    expected = expected.copy()
    expected.ravel()[: max(change, 0)] ^= 1
    out = folder / "c"
    out.mkdir()
    files = network_files(plan_network(path), "net", ABOUT, images, expected)
    for file, text in files.items():
        (out / file).write_text(text, "utf-8")
    return out


def needs(processor: str) -> None:
    if missing := PROCESSORS[processor].missing:
        pytest.skip(f"{', '.join(missing)} not found")


@compiles
@pytest.mark.parametrize("name", [*CASES, *REAL])
def test_the_host_computes_the_bits_of_litert_for_microcontrollers(name, tmp_path):
    found = check_sources(sources(name, tmp_path), "host", ("-O2", "-Werror"))
    assert (found.different, found.vectors, found.passed) == (0, 6, True)


@compiles
@pytest.mark.parametrize("name", CASES)
def test_sanitizers_find_nothing(name, tmp_path):
    folder = sources(name, tmp_path)
    program = tmp_path / "check"
    options = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    files = [folder / "net.c", folder / "net_check.c"]
    built = subprocess.run(["gcc", *STRICT, *options, *files, "-o", program], capture_output=True)
    if built.returncode:
        pytest.skip(f"gcc has no sanitizers: {built.stderr.decode()[-200:]}")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("PASS: 0 of"), done.stderr[-2000:]


@pytest.mark.parametrize("processor", EMULATED)
@pytest.mark.parametrize("name", ["depthwise", "moves", "classifier", RESNET8])
def test_other_processors_compute_the_same_bits(name, processor, tmp_path):
    needs(processor)
    found = check_sources(sources(name, tmp_path), processor, STRICTEST)
    assert (found.different, found.vectors) == (0, 6)
    assert (found.instructions is not None) == PROCESSORS[processor].bare


@compiles
def test_a_check_counts_outputs_that_differ(tmp_path):
    found = check_sources(sources("mean", tmp_path, change=3), "host")
    assert (found.different, found.outputs, found.passed) == (3, 42, False)


def test_flash_ram_and_instructions_of_resnet8_on_a_microcontroller(tmp_path):
    needs("cortex-m4")
    found = check_sources(sources(RESNET8, tmp_path), "cortex-m4", STRICTEST)
    weights = 77_706 + 4 * 2 * 202  # parameters, of which the biases have four bytes, and scales
    assert found.size.code <= 8_000
    assert found.size.ram <= 52_000
    assert weights <= found.size.flash - found.size.code <= weights + 6_000
    # A product and an addition need an instruction at least; two at a time on this processor.
    assert found.instructions is not None
    assert 12_500_000 // 2 < found.instructions < 1_097_120_920 // 2


@pytest.mark.parametrize("flag", ["-march=armv6k+fp", "-mcpu=arm1176jzf-s"])
def test_sources_compile_for_a_pi_zero(flag, tmp_path):
    needs("cortex-m4")
    folder = sources("classifier", tmp_path)
    options = ["-Os", "-Werror", "-marm", "-mfloat-abi=hard", flag]
    command = ["arm-none-eabi-gcc", *STRICT, *options, "-c", folder / "net.c"]
    subprocess.run([*command, "-o", tmp_path / "net.o"], check=True)


@compiles
def test_no_function_calls_the_heap_or_itself(tmp_path):
    folder = sources("sums", tmp_path)
    subprocess.run(["gcc", "-O0", "-c", "net.c"], cwd=folder, check=True)
    done = subprocess.run(
        ["nm", "-u", "net.o"], cwd=folder, capture_output=True, text=True, check=True
    )
    used = set(done.stdout.split()) - {"U", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert used <= {"memcpy", "memset"}


@compiles
def test_the_makefile_builds_and_runs_the_check(tmp_path):
    if not shutil.which("make"):
        pytest.skip("needs make")
    folder = sources("lookups", tmp_path)
    options = ["CC=gcc", "CFLAGS=-Os -Werror"]
    done = subprocess.run(["make", "check", *options], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, "PASS: 0 of" in done.stdout) == (0, True), done.stderr
    done = subprocess.run(["make", "size", *options], cwd=folder, capture_output=True, text=True)
    assert ".bss" in done.stdout


@compiles
def test_the_header_states_what_the_network_takes_and_gives(tmp_path):
    path, images, _ = tflm_case("mean", tmp_path)
    plan = plan_network(path)
    names = ["a", 'b "x"', "c\\", "??/", "é", "f", "g"]
    about = Description("T", "run", "net.tflite", "00", "normalized", names)
    for file, text in network_files(plan, "net", about, images).items():
        (tmp_path / file).write_text(text, "utf-8")
    (tmp_path / "use.c").write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void) {\n'
        '  printf("%d %d %d %d %.9g %d %.9g %d %d\\n", NET_HEIGHT, NET_WIDTH, NET_CHANNELS,\n'
        "         NET_OUTPUTS, NET_INPUT_SCALE, NET_INPUT_ZERO, NET_OUTPUT_SCALE,\n"
        "         NET_OUTPUT_ZERO, NET_ARENA_BYTES);\n"
        "  for (int i = 0; i < NET_OUTPUTS; ++i) puts(net_classes[i]);\n  return 0;\n}\n"
    )
    files = [tmp_path / "use.c", tmp_path / "net.c"]
    subprocess.run(["gcc", *STRICT, "-Werror", *files, "-o", tmp_path / "use"], check=True)
    told = subprocess.run([tmp_path / "use"], capture_output=True, check=True).stdout.decode()
    first, *classes = told.splitlines()
    scales = [np.float32(each) for each in (first.split()[4], first.split()[6])]
    assert scales == [np.float32(plan.input_scale), np.float32(1 / 256)]
    numbers = [int(first.split()[place]) for place in (0, 1, 2, 3, 5, 7, 8)]
    assert numbers == [5, 7, 6, 7, plan.input_zero, -128, plan_memory(plan).bytes]
    assert classes == names


def test_names_are_c_identifiers():
    texts = ["Refined-0a1b.x", "9lives", "float", "--", "ü"]
    expected = ["refined_0a1b_x", "network_9lives", "network_float", "network", "network"]
    assert [c_name(text) for text in texts] == expected


@compiles
def test_errors_name_the_folder_and_the_first_message(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no C sources.*--to c"):
        check_sources(tmp_path, "host")
    folder = sources("mean", tmp_path)
    (folder / "net.c").write_text("int net_run(;\n")
    with pytest.raises(RefineryError, match=r"gcc: .*error"):
        measure_sources(folder, "host")


def test_without_a_compiler_nothing_is_measured(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program: None)
    assert measured_processor() is None
