"""The digest of weights that network files contain."""

from hashlib import sha256

import numpy as np
import torch

from tinyrefinery.models import create
from tinyrefinery.models.digest import tensors_digest


def test_digest_is_a_function_of_the_weights() -> None:
    torch.manual_seed(0)
    one, other = create("resnet8", 3, size=32), create("resnet8", 3, size=32)
    digest = tensors_digest(one.state_dict())
    assert digest != tensors_digest(other.state_dict())
    assert tensors_digest(one.to(memory_format=torch.channels_last).state_dict()) == digest
    assert tensors_digest(dict(reversed(one.state_dict().items()))) == digest


def test_digest_is_defined_once_and_for_all() -> None:
    """Network files contain it: another digest of the same weights would void them."""
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0]]))
        layer.bias.fill_(0.5)
    text = b"bias\0torch.float32\0(1,)\0" + np.float32([0.5]).tobytes()
    text += b"weight\0torch.float32\0(1, 2)\0" + np.float32([1, -2]).tobytes()
    assert tensors_digest(layer.state_dict()) == sha256(text).hexdigest()
