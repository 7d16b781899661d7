"""Build LiteRT for Microcontrollers from its source tree: as much of it as a model needs.

The tree is a clone of tflite-micro after `make -f tensorflow/lite/micro/tools/make/Makefile
third_party_downloads`, or what its `create_tflm_tree.py` wrote. Objects are kept in the cache.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tinyrefinery.deploy.toolchain.processors import Processor
from tinyrefinery.deploy.toolchain.programs import run_tool
from tinyrefinery.errors import DataError
from tinyrefinery.files import cache_folder

_MICRO = "tensorflow/lite/micro"
_FOLDERS = (
    _MICRO,
    f"{_MICRO}/arena_allocator",
    f"{_MICRO}/memory_planner",
    f"{_MICRO}/tflite_bridge",
    "tensorflow/lite/kernels/internal",
    "tensorflow/lite/kernels/internal/reference",
    "tensorflow/lite/core/api",
    "tensorflow/lite/core/c",
    "tensorflow/compiler/mlir/lite/core/api",
    "tensorflow/compiler/mlir/lite/schema",
)
"""Folders whose sources every model needs."""
_ALWAYS = ("kernel_util", "micro_tensor_utils", "decompress", "decompress_common")
"""Kernel files that others use."""
_NOT_LIBRARY = re.compile(
    r"(_test|test_helpers|test_helper_custom_ops|fake_micro_context|hexdump|mock_micro_graph|"
    r"recording_micro_allocator)$"
)
_THIRD_PARTY = {
    "flatbuffers/include": "flatbuffers/flatbuffers.h",
    "gemmlowp": "fixedpoint/fixedpoint.h",
    "ruy": "ruy/profiler/instrumentation.h",
}
"""Folders of headers, and one of their headers."""
_PLACES = ("third_party", f"{_MICRO}/tools/make/downloads", "..")
FLAGS = ("-std=c++17", "-Os", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics")
DEFINES = ("-DTF_LITE_STATIC_MEMORY", "-DTF_LITE_DISABLE_X86_NEON")


@dataclass(frozen=True)
class Library:
    """A built library."""

    archive: Path
    includes: tuple[Path, ...]


def build_library(
    tree: Path, operators: Iterable[str], processor: Processor, say: Callable[[str], object]
) -> Library:
    """Compile what is not in the cache yet.

    Args:
        tree: see the module.
        operators: that the model needs, e.g. `CONV_2D`.
        processor: to compile for.
        say: called with a progress message.

    Raises:
        DataError: if the tree is not one, or lacks an operator.
        RefineryError: if a file does not compile.
    """
    includes = include_folders(tree)
    sources = sorted({*_core(tree), *_kernels(tree, operators)})
    stamps = [f"{path.relative_to(tree)} {path.stat().st_mtime_ns}" for path in sources]
    facts = [str(tree.resolve()), processor.compiler, *processor.flags, *FLAGS, *DEFINES]
    place = cache_folder() / "tflm" / sha256("\n".join(facts).encode()).hexdigest()[:16]
    objects = [_object(place, tree, source) for source in sources]
    todo = [pair for pair in zip(sources, objects, strict=True) if not pair[1].exists()]
    if todo:
        say(f"compiling {len(todo)} files of LiteRT for Microcontrollers for {processor.name}")
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda pair: _compile(pair[0], pair[1], processor, includes), todo))
    archive = place / f"lib{sha256(chr(10).join(stamps).encode()).hexdigest()[:16]}.a"
    if not archive.exists():
        aside = archive.with_suffix(".part")
        aside.unlink(missing_ok=True)
        run_tool([processor.archiver, "rcs", str(aside), *map(str, objects)])
        aside.replace(archive)
    return Library(archive, includes)


def include_folders(tree: Path) -> tuple[Path, ...]:
    """Folders of headers: the tree's own, and those of the libraries that it uses.

    Raises:
        DataError: if one is missing.
    """
    if not (tree / _MICRO / "micro_interpreter.h").exists():
        raise DataError(
            f"{tree}: is not a source tree of LiteRT for Microcontrollers. Clone "
            "https://github.com/tensorflow/tflite-micro"
        )
    found = [tree]
    for folder, header in _THIRD_PARTY.items():
        places = [tree / place / folder for place in _PLACES]
        there = next((place for place in places if (place / header).is_file()), None)
        if there is None:
            raise DataError(
                f"{tree}: has no {folder}. Download it with: make -f "
                f"{_MICRO}/tools/make/Makefile third_party_downloads"
            )
        found.append(there)
    return tuple(found)


def _core(tree: Path) -> list[Path]:
    files = [path for folder in _FOLDERS for path in (tree / folder).glob("*.cc")]
    files.append(tree / "tensorflow/lite/kernels/kernel_util.cc")
    return [path for path in files if path.exists() and not _NOT_LIBRARY.search(path.stem)]


def _kernels(tree: Path, operators: Iterable[str]) -> list[Path]:
    """The kernel files that define operators, and those that these use."""
    folder = tree / _MICRO / "kernels"
    files = [path for path in folder.glob("*.cc") if not _NOT_LIBRARY.search(path.stem)]
    texts = {path: path.read_text("utf-8", errors="replace") for path in files}
    stems = set(_ALWAYS)
    for operator in operators:
        defines = re.compile(rf"^TFLMRegistration Register_{operator}\(\)", re.MULTILINE)
        named = [path.stem for path, text in texts.items() if defines.search(text)]
        if not named:
            raise DataError(f"{tree}: has no kernel for {operator}. Take a newer version")
        stems |= {stem for name in named for stem in (name, f"{name}_common")}
    return [path for path in files if path.stem in stems]


def _object(place: Path, tree: Path, source: Path) -> Path:
    stamp = sha256(str(source.stat().st_mtime_ns).encode()).hexdigest()[:8]
    name = "-".join(source.relative_to(tree).with_suffix("").parts[1:])
    return place / f"{name}-{stamp}.o"


def _compile(source: Path, target: Path, processor: Processor, includes: Sequence[Path]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".part")
    command = [processor.compiler, *processor.flags, *FLAGS, *DEFINES, "-w"]
    command += [f"-I{folder}" for folder in includes]
    run_tool([*command, "-c", str(source), "-o", str(aside)])
    aside.replace(target)
