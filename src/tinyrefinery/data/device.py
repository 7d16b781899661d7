"""Copy tensors to a device without blocking the host.

A copy from ordinary memory to an accelerator blocks the host until all earlier work is done. A copy
from pinned memory is queued, and the host continues.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def to_device(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """`values` as a tensor on `device`, without a copy if they are already there."""
    tensor = torch.as_tensor(values)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A constant tensor, copied to the device once. Don't modify it."""
    return torch.tensor(values, dtype=dtype, device=device)
