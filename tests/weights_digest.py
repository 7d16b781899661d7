"""Identity of a network's weights."""

from hashlib import sha256

import torch
from torch import nn


def weights_digest(network: nn.Module) -> str:
    """SHA-256 in hexadecimal of all parameters and buffers: names, types, shapes and bits.

    It doesn't depend on the device, the memory format or the order of the entries.
    """
    digest = sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()
