"""Initial weights of a network."""

import math

import torch
from torch import nn


def initialize(network: nn.Module) -> None:
    """Initialize the weights in place, with torch's current generator.

    Convolutions: normal with variance 2 / fan-out, zero bias (He et al. 2015). Fan-out counts only
    the outputs that one input reaches, so one channel for a depthwise convolution.
    Batch normalization: weight 1, bias 0, also at the end of residual branches.
    Linear layers keep PyTorch's default, uniform within 1 / sqrt(fan-in).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size) / module.groups
            with torch.no_grad():
                module.weight.normal_(0, math.sqrt(2 / fan_out))
                if module.bias is not None:
                    module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def initialize_as_pytorch(network: nn.Module) -> None:
    """Redraw the weights in place as PyTorch does by default, with its current generator.

    Convolutions and linear layers, weights and biases: uniform within 1 / sqrt(fan-in), so weights
    have variance 1 / (3 fan-in). The Label Refinery code does not initialize anything itself.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.BatchNorm1d):
            module.reset_parameters()


def initialize_without_groups(network: nn.Module) -> None:
    """Redraw the weights of convolutions in place: normal with variance 2 / (k * k * outputs).

    As in the SkipblockNet code, and in MobileNetV3's. It counts all outputs also of a depthwise
    convolution, where each input reaches a single one. So depthwise weights are smaller than ours
    by the square root of the number of channels. All other weights stay.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            with torch.no_grad():
                module.weight.normal_(0, math.sqrt(2 / fan_out))
