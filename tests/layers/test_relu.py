"""ReLU by bits against PyTorch's."""

import pytest
import torch
from torch.nn import functional as F

from tinyrefinery.layers.relu import relu


@pytest.mark.parametrize("inplace", [False, True])
def test_relu_is_pytorchs_for_every_number_there_is(inplace):
    bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    numbers = bits.view(torch.bfloat16)
    wanted, given = F.relu(numbers), numbers.clone()
    with torch.no_grad():
        found = relu(given, inplace=inplace)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)
    assert (found is given) == inplace
    assert inplace or torch.equal(given.view(torch.int16), bits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_relu_has_its_gradient(dtype):
    numbers = torch.tensor([-2.0, -0.5, 0.5, 3.0], dtype=dtype, requires_grad=True)
    found = relu(numbers + 0, inplace=True)
    assert found.tolist() == [0, 0, 0.5, 3]
    found.sum().backward()
    assert numbers.grad is not None
    assert numbers.grad.tolist() == [0, 0, 1, 1]
