"""Which weights learn, at what rate and with what decay; against timm's groups."""

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.models import create
from tinyrefinery.models.blocks import blocks, depths, head_of
from tinyrefinery.options.optimizers import Groups
from tinyrefinery.training.parameter_groups import freeze, parameter_groups, to_freeze

HEAD = {"fc.weight", "fc.bias"}


def network(name: str = "mobilenet_v1_025", classes: int = 7) -> nn.Module:
    with torch.device("meta"):
        return create(name, classes, size=32)


def by_name(net: nn.Module, groups: list[dict]) -> dict[str, tuple[float, float]]:
    """Rate and decay of each parameter, rounded to twelve digits."""
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return {
        names[id(parameter)].removeprefix("network."): (
            round(group["lr"], 12),
            group["weight_decay"],
        )
        for group in groups
        for parameter in group["params"]
    }


def timms(net: nn.Module, groups: list[dict], lr: float) -> dict[str, tuple[float, float]]:
    scaled = [group | {"lr": lr * group.get("lr_scale", 1.0)} for group in groups]
    return by_name(net, scaled)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_layer_decay_equals_timms(name: str) -> None:
    with torch.device("meta"):
        net = create(f"timm:{name}", 7, size=32)
    head = head_of(lambda classes: create(f"timm:{name}", classes, size=32), 7)
    part = Groups(lr=0.1, weight_decay=0.05, layer_decay=0.75, decay_norm_and_bias=False)
    ours = parameter_groups(net, head, part)
    theirs = param_groups_layer_decay(net.network, weight_decay=0.05, layer_decay=0.75)
    assert by_name(net, ours) == timms(net.network, theirs, 0.1)


def test_our_blocks_are_timms_for_a_network_of_timm() -> None:
    """Found by how modules contain one another, they are those that timm's rules name."""
    net = timm.create_model("resnet18", num_classes=7)
    theirs = param_groups_layer_decay(net, layer_decay=0.5, weight_decay=0.0)
    ours = parameter_groups(net, HEAD, Groups(lr=1.0, weight_decay=0.0, layer_decay=0.5))
    assert by_name(net, ours) == timms(net, theirs, 1.0)


def test_decay_of_norm_and_bias_equals_timms() -> None:
    net = network()
    ours = parameter_groups(net, HEAD, Groups(lr=0.1, weight_decay=0.5, decay_norm_and_bias=False))
    theirs = param_groups_weight_decay(net, weight_decay=0.5)
    assert by_name(net, ours) == timms(net, [group | {"lr": 0.1} for group in theirs], 0.1)
    assert len(ours) == 2


def test_without_options_there_is_one_group_in_the_networks_order() -> None:
    net = network()
    (only,) = parameter_groups(net, HEAD, Groups(lr=0.1, weight_decay=0.5))
    assert [id(p) for p in only["params"]] == [id(p) for p in net.parameters()]
    assert (only["lr"], only["weight_decay"]) == (0.1, 0.5)


@pytest.mark.parametrize("skip_blocks", [True, False])
def test_blocks_of_skipblocknet_are_in_the_order_of_the_image(skip_blocks: bool) -> None:
    """The reference: the order in which they end when an image passes."""
    net = create("skipblocknet_xs", 7, size=32, skip_blocks=skip_blocks).eval()
    names = [name for (name,) in blocks(net)]
    ended: list[str] = []
    for name in names:
        hook = lambda module, given, out, name=name: ended.append(name)  # noqa: E731
        net.get_submodule(name).register_forward_hook(hook)
    with torch.inference_mode():
        net(torch.zeros(1, 3, 32, 32))
    assert ended == names
    assert len(names) == 19 + 2 * skip_blocks  # stem, 15 residuals, last, hidden, head
    parameters = {name for name, _ in net.named_parameters()}
    deep = depths(net, HEAD)
    assert parameters == deep.keys()
    assert {name: deep[f"{name}.weight"] for name in ("hidden.0", "fc")} == {
        "hidden.0": len(names) - 2,
        "fc": len(names) - 1,
    }
    frozen = to_freeze(net, HEAD, 8)
    assert ("skips.0.block.expand.conv.weight" in frozen) == skip_blocks
    assert "stages.2.0.block.expand.conv.weight" not in frozen


def test_by_hand() -> None:
    """Stem, 13 blocks, head: the head at lr, the stem at lr times .5 to the power of 14."""
    net = network()
    groups = parameter_groups(net, HEAD, Groups(lr=0.1, weight_decay=0.0, layer_decay=0.5))
    rates = {name: rate for name, (rate, _) in by_name(net, groups).items()}
    assert rates["fc.weight"] == rates["fc.bias"] == 0.1 == groups[0]["lr"]
    assert rates["blocks.12.0.conv.weight"] == rates["blocks.12.1.norm.bias"] == 0.05
    assert rates["blocks.0.0.conv.weight"] == round(0.1 * 0.5**13, 12)
    assert rates["stem.conv.weight"] == round(0.1 * 0.5**14, 12)
    fastest_first = [round(group["lr"], 12) for group in groups]
    assert fastest_first == sorted({*rates.values()}, reverse=True)
    fastest_first = [round(group["lr"], 12) for group in groups]
    assert fastest_first == sorted({*rates.values()}, reverse=True)
    assert len(groups) == 15


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("alexnet", 7, ("convolutions.0",)),  # five convolutions, hidden layers, head
        ("mobilenet_v1_025", 15, ("stem",)),
        ("resnet8", 5, ("stem",)),
        ("resnet18", 10, ("conv1", "bn1")),
        ("densenet_k12", 9, ("features.conv0", "features.norm0")),  # norm and head count as one
        ("mobilenet_v2_075", 20, ("features.0",)),
        ("nasnet_a", 16, ("stem",)),
        ("shufflenet_v2_050", 19, ("conv1",)),
        ("squeezenet", 10, ("stem",)),
    ],
)
def test_blocks(name: str, count: int, first: tuple[str, ...]) -> None:
    net = network(name)
    found = blocks(net)
    assert (len(found), found[0]) == (count, first)
    prefixes = tuple(f"{part}." for block in found for part in block)
    assert all(parameter.startswith(prefixes) for parameter, _ in net.named_parameters())


def test_depth_of_the_head_is_the_largest() -> None:
    for name in ("densenet_k12", "squeezenet", "resnet18"):
        net = network(name)
        head = head_of(lambda classes, name=name: network(name, classes), 7)
        deep = depths(net, head)
        deepest = max(deep.values())
        assert {parameter for parameter in deep if deep[parameter] == deepest} == head
        assert sorted({*deep.values()}) == list(range(deepest + 1))


def test_head_is_what_follows_the_classes() -> None:
    assert head_of(lambda k: network("mobilenet_v1_025", k), 7) == HEAD
    assert head_of(lambda k: network("squeezenet", k), 7) == {"conv10.weight", "conv10.bias"}
    assert head_of(lambda k: network("timm:resnet18", k), 7) == {"network.fc.weight"} | {
        "network.fc.bias"
    }


def test_freezing_by_number_and_by_name_are_the_same() -> None:
    net = network()
    named = to_freeze(net, HEAD, ["stem", "blocks.0", "blocks.1"])
    assert named == to_freeze(net, HEAD, 3)
    assert named == {
        name
        for name, _ in net.named_parameters()
        if name.startswith(("stem.", "blocks.0.", "blocks.1."))  # and not blocks.10
    }
    assert freeze(net, named) == [net.stem, net.blocks[0], net.blocks[1]]
    left = {name for name, p in net.named_parameters() if p.requires_grad}
    assert left == {name for name, _ in net.named_parameters()} - named
    groups = parameter_groups(net, HEAD, Groups(lr=0.1, weight_decay=0.0, layer_decay=0.5))
    assert by_name(net, groups).keys() == left


def test_all_but_the_head() -> None:
    net = network()
    everything = {name for name, _ in net.named_parameters()}
    assert to_freeze(net, HEAD, 14) == everything - HEAD == to_freeze(net, HEAD, ["stem", "blocks"])
    assert freeze(net, everything - HEAD) == [net.stem, net.blocks]


def test_a_wrapped_network_is_frozen_by_its_own_names() -> None:
    net = network("timm:resnet18")
    head = head_of(lambda k: network("timm:resnet18", k), 7)
    named = to_freeze(net, head, ["conv1", "bn1", "layer1"])
    assert named == to_freeze(net, head, ["network.conv1", "network.bn1", "network.layer1"])
    assert named == to_freeze(net, head, 3)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["stemm"], "no part 'stemm' with weights. Did you mean 'stem'.*stem, blocks.0, blocks.1"),
        (["blocks.13"], "no part 'blocks.13' with weights"),
        (["pool"], "no part 'pool' with weights"),
        (["stem", "blocks", "fc"], "nothing would be left to train"),
        (15, "freeze: 15: the network has 14 blocks before its head; nothing would be left"),
    ],
)
def test_what_cannot_be_frozen(parts: int | list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        to_freeze(network(), HEAD, parts)
