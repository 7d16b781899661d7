"""Small things on their way to the device, without the host waiting for it.

From ordinary memory an accelerator copies while the host waits until all work before is done; from
pinned memory the copy takes its place in the queue, and the host goes on.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def moved(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Numbers as a tensor on `device`; no copy where they are there already."""
    tensor = torch.as_tensor(values)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """The same few numbers each time, which are moved once; not to be written to."""
    return torch.tensor(values, dtype=dtype, device=device)
