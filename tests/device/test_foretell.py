"""Foretold costs are never below those of converted files.

`converted_random.csv` and `converted_zoo.csv` have the cost in bytes and multiply-accumulates of
int8 files that the converter made (onnx2tf 2.6.9, ai-edge-quantizer 0.10.0), as `device_cost` reads
them: of the networks of `random_module` (`benchmarks/converted_random.py` writes the rows), and of
known architectures with 10 classes. In them, an operator normalizes, and no places in memory are
stated. `converted_small.csv` has the cost of the same random networks in the form with the least
memory. The files contain 4,096 or 4,098 bytes of metadata.
"""

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.device.random_modules import random_module
from tinyrefinery.device.file_form import FileForm
from tinyrefinery.device.foretell import NotForetoldError, foretell_cost
from tinyrefinery.models import create

HERE = Path(__file__).parent
SMALL = list(csv.DictReader((HERE / "converted_small.csv").read_text().splitlines()))
PLAIN, SMALLEST = FileForm(placed=False), FileForm(scaled=True, placed=True, wide=True)
RANDOM = list(csv.DictReader((HERE / "converted_random.csv").read_text().splitlines()))
ZOO = list(csv.DictReader((HERE / "converted_zoo.csv").read_text().splitlines()))
EXACT = ("resnet8", "mobilenet_v1_025", "resnet18", "timm:mobilenetv2_050")
"""Networks whose activations are foretold to the byte."""


def is_at_most(foretold, line):
    ram = int(line["head"]) + int(line["tail"])
    costs = (foretold.flash, foretold.ram, foretold.macs)
    return [
        a >= b for a, b in zip(costs, (int(line["flash"]), ram, int(line["macs"])), strict=True)
    ]


def zoo_cost(line):
    size = int(line["size"])
    with torch.device("meta"):
        network = create(line["network"], 10, size=size)
    return foretell_cost(network, (size, size), 3, form=PLAIN)


@pytest.mark.parametrize(("lines", "form"), [(RANDOM, PLAIN), (SMALL, SMALLEST)])
def test_no_random_network_costs_more_than_foretold(lines, form):
    assert len(lines) >= 40
    for line in lines:
        network, side, channels = random_module(int(line["seed"]))
        foretold = foretell_cost(network, (side, side), channels, form=form)
        assert all(is_at_most(foretold, line)), (line, foretold)


@pytest.mark.parametrize("line", ZOO, ids=lambda line: line["network"])
def test_no_known_network_costs_more_than_foretold(line):
    foretold = zoo_cost(line)
    assert all(is_at_most(foretold, line)), (line, foretold)
    if line["network"] in EXACT:
        assert foretold.arena.head == int(line["head"])
        assert foretold.ram <= 1.05 * (int(line["head"]) + int(line["tail"]))


def test_a_convolution_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
    foretold = foretell_cost(network, (8, 8), 3)
    # The pixels are normalized by 8 * 8 * 3 products.
    assert foretold.macs == 8 * 8 * 3 + 4 * 4 * 8 * 27 + 128 * 2
    assert foretold.flash > 8 * 27 + 128 * 2 + 4096
    assert foretold.arena.head >= 8 * 8 * 3 + 10 * 10 * 3


def test_the_weights_and_the_mode_of_the_network_stay_as_they_are():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    foretell_cost(network, (8, 8), 1)
    assert network.training
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())


def test_names_of_classes_count():
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    few = foretell_cost(network, (4, 4), 3, ["a", "b"])
    many = foretell_cost(network, (4, 4), 3, ["a" * 500, "b" * 500])
    assert many.flash - few.flash == 998


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (nn.ConvTranspose2d(4, 4, 2), "transposed convolution"),
        (nn.Conv2d(4, 4, 3, groups=2), "grouped convolution"),
        (nn.Softsign(), "abs"),
    ],
)
def test_what_is_not_known_is_named(layer, what):
    with pytest.raises(NotForetoldError, match=f"only after conversion: {what}"):
        foretell_cost(nn.Sequential(nn.Conv2d(3, 4, 1), layer, nn.Flatten()), (8, 8), 3)
