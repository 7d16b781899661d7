"""What a run imports: nothing heavy that it doesn't need. Counted, since clocks vary."""

import json
import os
import subprocess
import sys

RUN = """
import json, sys
sys.argv[1:] = ["run", "starter/demo", "--smoke", "--runs", sys.argv[1], "--name", "it"]
from tinyrefinery.cli.main import main
import tinyrefinery.execution.steps as steps
found = []
finish = steps.finish_stage
def noted(*arguments):
    finish(*arguments)
    found.append(sorted(sys.modules))
steps.finish_stage = noted
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(found[-1]))
"""
HEAVY = (
    *("sklearn", "scipy.stats", "scipy.optimize", "scipy.interpolate", "scipy.ndimage"),
    *("timm", "torchvision", "onnx", "onnxruntime", "datasets", "IPython", "tensorflow"),
)
"""Some take longer to import than all of tinyrefinery. pandas is not here: pyarrow loads it where
it is installed, and this package does not need it."""


def test_training_imports_nothing_heavy_that_it_does_not_need(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "runs")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    modules = set(json.loads(ended.stdout.splitlines()[-1]))
    assert {"torch", "tinyrefinery.training.loop"} <= modules
    assert not modules & set(HEAVY)
