"""That freed memory is kept: counted in page faults of a fresh process."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
import numpy as np
from tinyrefinery.training.memory import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def touch():
    held = [np.ones(1 << 20) for _ in range(4)]  # 8 MiB each
for _ in range(3):
    touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    program = [sys.executable, "-c", COUNT.format(keep=keep)]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's malloc")
def test_freed_blocks_are_used_again():
    assert faults(keep=True) < faults(keep=False) / 4
