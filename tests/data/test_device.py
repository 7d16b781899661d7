"""What goes to the device arrives as it was."""

import numpy as np
import torch

from tinyrefinery.data.device import constant, to_device

CPU = torch.device("cpu")


def test_what_is_there_already_is_not_copied():
    values = np.arange(5)
    there = to_device(values, CPU)
    assert there.dtype == torch.int64
    values[0] = 7
    assert there[0] == 7
    assert to_device(there, CPU) is there


def test_constants_are_made_once():
    values = (0.485, 0.456)
    found = constant(values, CPU, torch.float32)
    assert torch.equal(found, torch.tensor(values))
    assert constant(values, CPU, torch.float32) is found
    assert constant(values, CPU, torch.float64).dtype == torch.float64
