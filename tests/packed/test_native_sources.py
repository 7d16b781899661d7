"""The C sources on other processors and under sanitizers. Skips where a compiler is missing."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

import hatch_build
from tests.packed.mutations import mutate
from tests.packed.random_programs import random_program
from tinyrefinery.deploy.toolchain.processors import PROCESSORS
from tinyrefinery.packed.packed_format import write_packed
from tinyrefinery.packed.packed_runtime import NUMPY, PackedRuntime

NATIVE = hatch_build.FOLDER / "native"
SOURCES = [str(path) for path in sorted(NATIVE.glob("*.c")) if path.name != "module.c"]
_ALLOWED = {"memcpy", "memset", "memcmp", "__cpu_model", "__stack_chk_fail"}
_ALLOWED |= {"_GLOBAL_OFFSET_TABLE_", "__cpu_features2"}
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


def _case(content: bytes, inputs: bytes = b"", outputs: bytes = b"") -> bytes:
    sizes = struct.pack("<3I", len(content), len(inputs), len(outputs))
    return sizes + content + inputs + outputs


def _good_cases(seeds: range) -> list[bytes]:
    cases = []
    for seed in seeds:
        program, images = random_program(seed)
        content = write_packed(program)
        expected = PackedRuntime(content, NUMPY).run(images)
        cases.append(_case(content, images.tobytes(), expected.tobytes()))
    return cases


def _replay(folder: Path, compiler: str, flags: tuple[str, ...], run: tuple[str, ...], cases):
    program, file = folder / "replay", folder / "cases"
    file.write_bytes(b"".join(cases))
    driver = str(Path(__file__).with_name("replay.c"))
    command = [compiler, "-std=c99", "-ffp-contract=off", *flags, f"-I{NATIVE}", *SOURCES, driver]
    subprocess.run([*command, "-o", str(program)], check=True)
    done = subprocess.run(
        [*run, str(program), str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_damaged_files_are_clean_under_sanitizers(tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    command = ["gcc", *flags, str(probe), "-o", str(tmp_path / "probe")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this gcc has no sanitizers")
    sources = [write_packed(random_program(seed)[0]) for seed in range(20)]
    damaged = [_case(mutate(sources[seed % 20], seed)) for seed in range(2000)]
    text = _replay(tmp_path, "gcc", flags, (), [*_good_cases(range(20)), *damaged])
    assert "2020 cases" in text
    assert ", 0 bytes differ" in text


@pytest.mark.parametrize(
    ("name", "options"),
    [("host", ()), ("host", ("-DPACKED_SCALAR",)), ("aarch64", ()), ("arm", ())],
)
def test_a_processor_gives_the_bits_of_numpy(tmp_path, name, options):
    processor = PROCESSORS[name]
    needed = [processor.c_compiler, *processor.emulator[:1]]
    if missing := [tool for tool in needed if shutil.which(tool) is None]:
        pytest.skip(f"{', '.join(missing)} not installed")
    flags = ("-O2", *STRICT, *processor.flags, *options)
    cases = _good_cases(range(40))
    text = _replay(tmp_path, processor.c_compiler, flags, processor.emulator, cases)
    assert "40 cases, 40 opened, 0 bytes differ" in text
    assert ("variants: neon" in text) == (name == "aarch64")


def test_sources_use_neither_heap_nor_variables_of_their_own(tmp_path):
    if shutil.which("gcc") is None or shutil.which("nm") is None:
        pytest.skip("gcc and nm are not installed")
    for source in SOURCES:
        target = tmp_path / f"{Path(source).stem}.o"
        subprocess.run(
            ["gcc", "-std=c99", "-O2", "-ffp-contract=off", "-c", source, "-o", str(target)],
            check=True,
        )
        names = subprocess.run(["nm", str(target)], capture_output=True, text=True, check=True)
        lines = [line.split()[-2:] for line in names.stdout.splitlines()]
        outside = {name for kind, name in lines if kind == "U" and "packed_" not in name}
        assert outside <= _ALLOWED, source
        variables = [name for kind, name in lines if kind in "BDbC"]
        assert not [v for v in variables if not v.startswith("packed_")], source


def test_the_code_of_a_cortex_m4_is_as_large_as_documented(tmp_path):
    """docs/binary-networks.md states 13,924 bytes, of one compiler."""
    tools = [f"arm-none-eabi-{tool}" for tool in ("gcc", "size")]
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"{', '.join(missing)} not installed")
    processor = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
    total = 0
    for name in ("packed", "variant_plain"):
        target = tmp_path / f"{name}.o"
        flags = ["-std=c99", "-Os", "-ffp-contract=off", *STRICT, *processor]
        command = [tools[0], *flags, "-c", str(NATIVE / f"{name}.c"), "-o", str(target)]
        subprocess.run(command, check=True)
        done = subprocess.run([tools[1], str(target)], capture_output=True, text=True, check=True)
        total += int(done.stdout.splitlines()[1].split()[0])
    assert 12_500 < total < 15_500


def test_strict_compilers_accept_the_binding(tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is installed")
    assert hatch_build.build_extension(tmp_path, (*STRICT, "-O1")) == ""
    assert np.frombuffer((tmp_path / hatch_build.EXTENSION).read_bytes()[:4], np.uint8)[0] == 0x7F
