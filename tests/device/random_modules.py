"""Small random PyTorch networks, of the layers that small networks have."""

import numpy as np
import torch
from torch import Tensor, nn

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.Identity)


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, gate: type[nn.Module]) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.gate = gate()

    def forward(self, images: Tensor) -> Tensor:
        """Scale each channel."""
        mean = images.mean(dim=(2, 3), keepdim=True)
        return images * self.gate(self.expand(torch.relu(self.reduce(mean))))


class Join(nn.Module):
    """A sum or a concatenation with what a layer makes of its input."""

    def __init__(self, layer: nn.Module, *, adds: bool) -> None:
        super().__init__()
        self.layer, self.adds = layer, adds

    def forward(self, images: Tensor) -> Tensor:
        """Join both."""
        other = self.layer(images)
        return images + other if self.adds else torch.cat([images, other], dim=1)


def conv(draws, inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1):
    """A convolution, mostly with batch normalization, and an activation."""
    has_norm = draws.random() < 0.7
    layers = [nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=not has_norm)]
    if has_norm:
        layers.append(nn.BatchNorm2d(outputs))
    return [*layers, draws.choice(np.array(ACTIVATIONS, object))()]


def random_module(seed: int) -> tuple[nn.Module, int, int]:
    """A network, the side of its images in pixels and their channels."""
    draws = np.random.default_rng(seed)
    torch.manual_seed(seed)
    start = int(draws.choice([16, 24, 32, 40, 48]))
    channels = image = int(draws.choice([1, 3]))
    layers, side = [], start
    for _ in range(int(draws.integers(2, 8))):
        kernel = int(draws.choice([1, 3, 5]))
        kind = draws.choice(
            ["conv", "conv", "depthwise", "add", "cat", "pool", "squeeze", "norm", "average"]
        )
        if kind == "conv":
            outputs, stride = int(draws.integers(4, 48)), int(draws.integers(1, 3))
            layers += conv(draws, channels, outputs, kernel, stride)
            channels, side = outputs, -(-side // stride)
        elif kind == "depthwise":
            stride = int(draws.integers(1, 3))
            layers += conv(draws, channels, channels, kernel, stride, channels)
            side = -(-side // stride)
        elif kind in ("add", "cat"):
            inner = nn.Sequential(*conv(draws, channels, channels, kernel))
            layers.append(Join(inner, adds=kind == "add"))
            channels = channels if kind == "add" else 2 * channels
        elif kind == "squeeze":
            layers.append(
                Squeeze(channels, draws.choice(np.array([nn.Sigmoid, nn.Hardsigmoid], object)))
            )
        elif kind == "norm":
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        elif side >= 6:
            pool = nn.MaxPool2d if kind == "pool" else nn.AvgPool2d
            if draws.random() < 0.5:
                layers.append(pool(2))
                side //= 2
            else:
                layers.append(pool(3, 2, 1))
                side = -(-side // 2)
    head = [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(channels, int(draws.integers(2, 40))),
    ]
    return nn.Sequential(*layers, *head).eval(), start, image
