"""Identity of a network's weights."""

from collections.abc import Mapping
from hashlib import sha256

import torch
from torch import Tensor


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 in hexadecimal of named tensors: names, types, shapes and bits.

    It doesn't depend on the device, the memory format or the order of the entries.
    """
    digest = sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
