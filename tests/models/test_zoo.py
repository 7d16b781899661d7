"""The CIFAR-100 networks of the Bias Loss paper: true sizes, and equal to other implementations."""

from collections.abc import Iterator

import pytest
import timm.models.nasnet
import torch
import torchvision
from torch import Tensor, nn

from tests.weights_digest import weights_digest
from tinyrefinery.evaluation.cost import macs, parameters
from tinyrefinery.models import create

ZOO = {"variant": "zoo"}
# Parameters at 100 classes and millions of multiply-accumulates at 32 pixels, both of the
# pytorch-cifar100 code, run; its README rounds the parameters of mobilenetv2 to 2.36, of
# squeezenet to .78, of shufflenetv2 to 1.3, of densenet121 to 7.0 million.
MEASURED = [
    ("shufflenet_v2_100", ZOO, 1.361, 43.7),
    ("shufflenet_v2_050", ZOO, 0.448, None),
    ("mobilenet_v2_100", ZOO, 2.369, 64.9),
    ("squeezenet", {}, 0.781, 53.3),
    ("densenet121", {}, 7.049, 888.4),
    ("densenet_k12", {}, 1.035, None),
]
# What torchvision prints at 1,000 classes, less 900 classes' rows of the last layer.
PUBLISHED = {
    "shufflenet_v2_050": 1_366_792 - 900 * 1025,
    "shufflenet_v2_100": 2_278_604 - 900 * 1025,
    "mobilenet_v2_075": 2_636_424 - 900 * 1281,
    "mobilenet_v2_100": 3_504_872 - 900 * 1281,
}


def built(name: str, **options: object) -> nn.Module:
    with torch.device("meta"):
        return create(name, 100, size=32, **options)


@pytest.mark.parametrize(("name", "options", "millions", "mega_macs"), MEASURED)
def test_sizes_of_the_zoo(
    name: str, options: dict, millions: float, mega_macs: float | None
) -> None:
    network = built(name, **options)
    assert round(parameters(network) / 1e6, 3) == millions
    if mega_macs is not None:
        assert round(macs(network, 3, (32, 32)) / 1e6, 1) == mega_macs


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_small_stem_changes_no_count(name: str) -> None:
    assert parameters(built(name)) == PUBLISHED[name]


def test_nasnet_is_the_zoos_less_what_never_trains_there() -> None:
    """The zoo's 5.222 million count layers that no image passes, and biases without effect."""
    network = built("nasnet_a")
    assert round((parameters(network) + sum(_only_in_the_zoos_nasnet())) / 1e6, 3) == 5.222


def _only_in_the_zoos_nasnet() -> Iterator[int]:
    """By hand, cell by cell, from the zoo's way of fitting the earlier map of each cell."""
    before, now, width = 44, 44, 44
    for cell in range(14):
        reduces = cell in (4, 9)
        width *= 2 if reduces else 1
        halved = cell in (5, 10)
        yield before * width + width + 2 * width + width  # halving, biases, norm; 1x1: bias ...
        yield before * width + 2 * width  # ... filters and norm: each cell has both ways
        if halved or before != width:  # which one is used is in ours
            yield -(before * width + 2 * width)
        if reduces:
            yield width  # bias of the current map's 1x1 convolution
        separables = 5
        first = width if reduces else 0  # only there the first depthwise one has a bias
        yield separables * (first + width + width + width)
        before, now = now, (4 if reduces else 6) * width


@pytest.mark.parametrize(
    ("name", "options", "reference"),
    [
        ("shufflenet_v2_050", {}, "shufflenet_v2_x0_5"),
        ("mobilenet_v2_100", {}, "mobilenet_v2"),
        ("densenet121", {}, "densenet121"),
        ("squeezenet", {"batch_norm": False, "bypass": False}, "squeezenet1_0"),
    ],
)
def test_equals_torchvisions(name: str, options: dict, reference: str) -> None:
    torch.manual_seed(1)
    theirs = getattr(torchvision.models, reference)(num_classes=7).eval()
    ours = create(name, 7, size=224, **options).eval()
    put_in_order(ours, theirs.state_dict())
    if not options:  # then names are equal too
        ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 96, 80)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x))


def test_nasnets_cells_are_timms() -> None:
    """timm has the large network, with six cells in a row; here at 44 filters.

    After a reduction the large network passes over a cell, the mobile one doesn't: so timm's cells,
    one after the other.
    """
    torch.manual_seed(1)
    sizes = {"num_classes": 7, "stem_size": 32, "num_features": 1056, "pad_type": ""}
    theirs = timm.models.nasnet.NASNetALarge(**sizes).double().eval()
    for module in theirs.modules():
        if isinstance(module, nn.Conv2d):  # so that the signal lives through all cells
            mode = "fan_in" if module.groups == 1 else "fan_out"
            nn.init.kaiming_normal_(module.weight, mode=mode)
    ours = create("nasnet_a", 7, size=224, repeats=6).double().eval()
    put_in_order(ours, _narrowing_last(theirs))
    stem, first, *cells = [part for name, part in theirs.named_children() if "c" in name][:-1]
    x = torch.randn(1, 3, 96, 96, dtype=torch.float64)
    with torch.inference_mode():
        before = stem(x)
        now = first(before)
        for cell in cells:
            halving_stem = isinstance(cell, timm.models.nasnet.CellStem1)
            before, now = now, cell(before, now) if halving_stem else cell(now, before)
        assert now.std() > 0.01
        torch.testing.assert_close(ours.forward_features(x), now.relu())


def _narrowing_last(network: nn.Module) -> dict[str, Tensor]:
    """timm's tensors, in cells that halve the earlier map with that part first, as in ours."""
    state = network.state_dict()
    halving = {name.split(".")[0] for name in state if ".path_1." in name}

    def place(name: str) -> tuple[int, int]:
        cell = name.split(".")[0]
        part = 1 if ".conv_1x1." in name else 0 if "path" in name else 2
        return cells.index(cell), part if cell in halving else 0

    cells = list(dict.fromkeys(name.split(".")[0] for name in state))
    return {name: state[name] for name in sorted(state, key=place)}


def put_in_order(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load the tensors of a network that has the same layers in the same order."""
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))


@pytest.mark.parametrize("name", ["shufflenet_v2_050", "mobilenet_v2_075"])
def test_the_zoos_variant_learns(name: str) -> None:
    torch.manual_seed(1)
    network = create(name, 7, size=32, variant="zoo")
    x = torch.randn(4, 3, 32, 32)
    network(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.bias is not None and not m.bias.any() for m in convolutions)
    network.eval()
    assert torch.equal(network.forward_head(network.forward_features(x)), network(x))


@pytest.mark.parametrize("name", ["densenet_k12", "mobilenet_v2_075", "nasnet_a", "squeezenet"])
def test_equal_seeds_give_equal_weights(name: str) -> None:
    digests = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        digests.append(weights_digest(create(name, 3, size=32)))
    assert digests[0] == digests[1] != digests[2]


def test_squeezenets_bypass_adds_the_input() -> None:
    torch.manual_seed(1)
    with_it, without = (create("squeezenet", 3, size=32, bypass=b) for b in (True, False))
    without.load_state_dict(with_it.state_dict())
    x = torch.rand(1, 128, 8, 8)
    with_it.eval(), without.eval()
    with torch.inference_mode():
        torch.testing.assert_close(with_it.fires[1](x), without.fires[1](x) + x)
        assert torch.equal(with_it.fires[2](x), without.fires[2](x))
