"""Programs of tool environments stay what they were when this process loaded them."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

import tinyrefinery
from tinyrefinery.deploy.export import (
    executorch_runtime,
    executorch_script,
    litert_conversion,
    litert_layout,
    litert_script,
)
from tinyrefinery.deploy.export.tool_script import ToolScript

SOURCE = Path(tinyrefinery.__file__).parent
SCRIPTS = "litert_script.py", "litert_layout.py", "executorch_script.py"
EXPORTS_AFTER_A_CHANGE = """
import sys
from pathlib import Path
from tinyrefinery.deploy.export.litert_conversion import LiteRtFile, convert_to_litert

folder, scripts = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
scripts[0].write_text("raise SystemExit('another version')")
for script in scripts[1:]:
    script.unlink()
wanted = [LiteRtFile(str(folder / "network.tflite"), "{}", pixels=False)]
convert_to_litert(folder / "network.onnx", wanted, None, "network", print)
"""


def module(path):
    """The module of a file."""
    found = ModuleType(path.stem)
    found.__file__ = str(path)
    return found


def test_a_program_runs_as_it_was_when_it_was_read(tmp_path):
    main, part = tmp_path / "main_part.py", tmp_path / "other_part.py"
    part.write_text("WORD = 'first'\n")
    main.write_text("if __name__ == '__main__':\n    import other_part; print(other_part.WORD)\n")
    script = ToolScript(module(main), module(part))
    main.write_text("print('changed')")
    part.unlink()
    for run in ("first", "second"):
        path = script.write(tmp_path / run)
        assert subprocess.check_output([sys.executable, path], text=True) == "first\n"


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """Commands that would run, each with the contents of the program's folder; files are gone."""
    ran = []

    def run_logged(command, log):
        script = Path(command[1])
        ran.append({"": script.name} | {p.name: p.read_bytes() for p in script.parent.iterdir()})
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()

    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path / "cache"))
    for user in (litert_conversion, executorch_runtime):
        monkeypatch.setattr(user, "run_logged", run_logged)
        monkeypatch.setattr(user, "tool_python", lambda *_: Path(sys.executable))
    for script in (litert_script, litert_layout, executorch_script):
        monkeypatch.setattr(script, "__file__", str(tmp_path / "gone.py"))
    return ran


def write_graph(path):
    """A float graph of one layer: (1, 4, 4, 3) images -> their means, (1, 3)."""
    nodes = [
        make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        make_node("GlobalAveragePool", ["nchw"], ["pooled"]),
        make_node("Reshape", ["pooled", "shape"], ["probabilities"]),
    ]
    kinds = [
        make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 4, 4, 3]), ("probabilities", [1, 3]))
    ]
    shape = onnx.numpy_helper.from_array(np.array([1, 3], np.int64), "shape")
    graph = make_graph(nodes, "net", kinds[:1], kinds[1:], [shape])
    onnx.save(make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=10), path)


def test_exports_do_not_need_the_files_any_more(commands, tmp_path):
    contents = {
        name: (SOURCE / "deploy" / "export" / name).read_bytes()
        for name in (*SCRIPTS, "tool_script.py")
    }
    write_graph(tmp_path / "network.onnx")
    for _ in range(2):
        litert_conversion.convert_to_litert(tmp_path / "network.onnx", [], None, "network", print)
        assert executorch_runtime.run_executorch("convert", {}, "network", print) is None
    litert, executorch = commands[:2]
    assert litert == {"": SCRIPTS[0], **{name: contents[name] for name in SCRIPTS[:2]}}
    assert executorch == {"": SCRIPTS[2], SCRIPTS[2]: contents[SCRIPTS[2]]}
    assert commands[2:] == [litert, executorch]


@pytest.mark.slow
def test_an_export_works_after_its_program_was_changed_on_disk(tmp_path, converter):
    copy = tmp_path / "src" / "tinyrefinery"
    copytree(SOURCE, copy, ignore=ignore_patterns("__pycache__"))
    write_graph(tmp_path / "network.onnx")
    scripts = [str(copy / "deploy" / "export" / name) for name in SCRIPTS]
    done = subprocess.run(
        [sys.executable, "-c", EXPORTS_AFTER_A_CHANGE, str(tmp_path), *scripts],
        env=os.environ | {"PYTHONPATH": str(copy.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert (tmp_path / "network.tflite").read_bytes()[4:8] == b"TFL3"
