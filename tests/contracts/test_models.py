"""What every network promises."""

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

from tests.weights_digest import weights_digest
from tinyrefinery.errors import RecipeError
from tinyrefinery.evaluation.cost import macs, parameters
from tinyrefinery.models import MODELS, create
from tinyrefinery.models.network_file import load_network, save_network
from tinyrefinery.models.timm_registry import register

TIMM_NAMES = ("timm:mobilenetv3_small_050", "timm:vit_tiny_patch16_224", "timm:resnet18d")
NAMES = (*MODELS, *TIMM_NAMES)
HEAVY = (
    *("alexnet", "darknet19", "vgg16", "vgg19"),
    *("alexnet_xnor", "resnet18_xnor", "resnet50_xnor", "resnet18_lcnn"),
    *("resnet18", "resnet34", "resnet50", "timm:resnet18d"),
    *("densenet121", "densenet_k12", "nasnet_a", "squeezenet"),
)
HEAVY += tuple(f"skipblocknet_{size}" for size in ("s", "s16", "m", "l"))
INPUTS = [(28, 1), (32, 3), ((32, 48), 1), (64, 3), (96, 3), (224, 3)]
# Published counts at 1,000 classes (Keras' table for MobileNet, less its running statistics;
# torchvision's for ResNet, VGG, DenseNet, MobileNet v2, ShuffleNet v2 and SqueezeNet; the Label
# Refinery code for AlexNet; for Darknet-19 the layers of its authors' darknet19.cfg; Keras' for
# NASNet-A (4 @ 1056), less its running statistics) and 10 (ResNet8).
PUBLISHED = {
    "alexnet": (1000, 62_396_480),
    # By hand: float convolution and last layer, binary weights, two numbers per normalized channel.
    "alexnet_xnor": (1000, 96 * 363 + 4_097_000 + 58_236_928 + 2 * 9_664),
    "bireal_small": (10, 928 + 2_176 + 8_448 + 33_280 + 27 * 86_016 + 9 * 448 + 2_570),
    "darknet19": (1000, 20_842_376),
    "densenet121": (1000, 7_978_856),
    "densenet_k12": (1000, 1_384_696),  # of torchvision's, built with this growth
    "mobilenet_v1_025": (1000, 475_544 - 5_472),
    "mobilenet_v1_050": (1000, 1_342_536 - 10_944),
    "mobilenet_v1_075": (1000, 2_601_976 - 16_416),
    "mobilenet_v1_100": (1000, 4_253_864 - 21_888),
    "mobilenet_v2_075": (1000, 2_636_424),
    "mobilenet_v2_100": (1000, 3_504_872),
    "nasnet_a": (1000, 5_326_716 - 36_738),
    "resnet8": (10, 78_666 - 480 - 240),  # running statistics; biases before normalization
    "resnet18": (1000, 11_689_512),
    "resnet34": (1000, 21_797_672),
    "resnet50": (1000, 25_557_032),
    # torchvision's, with the normalized channels of our order, counted by hand.
    "resnet18_xnor": (1000, 11_689_512 - 2 * 4_800 + 2 * 4_864),
    "resnet50_xnor": (1000, 25_557_032 - 2 * 26_560 + 2 * 26_624),
    # The dense networks', with dictionaries of 32 words and their coefficients, counted by hand.
    "resnet8_lcnn": (10, 77_946 - 73_728 + 32 * 176 + 288 * 224),
    "bireal_small_lcnn": (10, 2_373_866 - 2_322_432 + (32 + 288) * 1_344),
    "resnet18_lcnn": (1000, 11_689_512 - 10_985_472 + 32 * 3_392 + 288 * 3_840),
    "vgg16": (1000, 138_357_544),
    "vgg19": (1000, 143_667_240),
    "shufflenet_v2_050": (1000, 1_366_792),
    "shufflenet_v2_100": (1000, 2_278_604),
    "squeezenet": (1000, 1_248_424 + 2 * 2_976),  # less our normalization of 2,976 channels
    # Of the published code, its skip blocks fed by the stem; s: with 8 channels there.
    "skipblocknet_xs": (1000, 2_328_680),
    "skipblocknet_s": (1000, 3_578_968),
    "skipblocknet_s16": (1000, 3_587_416),
    "skipblocknet_m": (1000, 5_532_352),
    "skipblocknet_l": (1000, 7_134_360),
}
every = pytest.mark.parametrize("name", NAMES)


def cases() -> list:
    """Every name with every input; large networks on large images only among the slow tests."""
    return [
        pytest.param(
            name,
            size,
            channels,
            marks=[pytest.mark.slow] if name in HEAVY and size not in (28, (32, 48)) else [],
            id=f"{name}-{size}-{channels}",
        )
        for name in NAMES
        for size, channels in INPUTS
    ]


def light_first() -> list:
    """Every name; the large networks among the slow tests."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in NAMES]


def images(size: int | tuple[int, int], channels: int, count: int = 2) -> torch.Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, height, width, generator=generator)


@pytest.mark.parametrize(("name", "size", "channels"), cases())
def test_forward(name: str, size: int | tuple[int, int], channels: int) -> None:
    torch.manual_seed(1)
    network = create(name, 7, size=size, channels=channels)
    x = images(size, channels)
    logits = network(x)  # in training mode, with batch statistics
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()
    network.eval()
    with torch.inference_mode():
        features = network.forward_features(x)
        logits = network(x)
        assert features.ndim == 4
        assert len(features) == 2
        assert logits.isfinite().all()
        assert torch.equal(network.forward_head(features), logits)


@every
def test_learns_in_channels_last_and_bf16(name: str) -> None:
    torch.manual_seed(1)
    network = create(name, 7, size=32).to(memory_format=torch.channels_last)
    x = images(32, 3, 4).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(network(x).float(), torch.tensor([0, 1, 2, 3]))
    loss.backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("name", MODELS)
def test_features_are_maps_before_pooling(name: str) -> None:
    """An image of twice the size gives maps of twice the size."""
    network = create(name, 7, size=32).eval()
    with torch.inference_mode():
        small, large = (network.forward_features(images(s, 3, 1)).shape[2:] for s in (32, 64))
    assert tuple(large) == (2 * small[0], 2 * small[1])
    assert min(small) > 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_count(name: str) -> None:
    classes, count = PUBLISHED[name]
    size = 32 if classes == 10 else 224
    with torch.device("meta"):
        assert parameters(create(name, classes, size=size)) == count


def test_every_published_name_is_tested() -> None:
    counted_elsewhere = {"street_cnn", "mobilenet_tiny", "ds_cnn"}
    assert set(PUBLISHED) | counted_elsewhere == set(MODELS)


@pytest.mark.parametrize("name", light_first())
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    size, classes = (32, 48), ("a", "b", "c")
    network = create(name, 3, size=size, channels=1)
    network(images(size, 1))  # so that running statistics aren't the initial ones
    path = tmp_path / "network.safetensors"
    common = {"classes": classes, "size": size, "channels": 1, "mean": [0.5], "std": [0.25]}
    save_network(path, network, name=name, kwargs={}, **common)
    before = torch.random.get_rng_state()
    again, info = load_network(path)
    assert torch.equal(before, torch.random.get_rng_state())
    assert weights_digest(again) == weights_digest(network)
    assert (info.name, info.classes, info.size) == (name, classes, size)
    with torch.inference_mode():
        assert torch.equal(again(images(size, 1)), network.eval()(images(size, 1)))


@pytest.mark.parametrize("name", MODELS)
def test_known_to_timm(name: str) -> None:
    full = f"tinyrefinery_{name}"
    assert full in register()
    register()  # twice does no harm
    with torch.device("meta"):
        network = timm.create_model(full, num_classes=7, in_chans=1, img_size=32)
        ours = create(name, 7, size=32, channels=1)
    assert network.state_dict().keys() == ours.state_dict().keys()
    with pytest.raises(RecipeError, match="no pretrained weights"):
        timm.create_model(full, pretrained=True)


@pytest.mark.parametrize(
    "name", ["resnet8", "mobilenet_v1_025", "skipblocknet_xs", "street_cnn", "vgg16"]
)
def test_features_stand_before_dropout(name: str) -> None:
    network = create(name, 7, size=32, dropout=0.5)
    with torch.no_grad():
        first, second = (network.forward_features(images(32, 3)) for _ in range(2))
        assert torch.equal(first, second)
        assert not torch.equal(network.forward_head(first), network.forward_head(first))


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        ("resnet18", {}, "resnet18"),
        ("resnet50", {}, "resnet50"),
        pytest.param("vgg16", {}, "vgg16", marks=pytest.mark.slow),
        pytest.param("vgg19", {"batch_norm": True}, "vgg19_bn", marks=pytest.mark.slow),
    ],
)
def test_equals_torchvisions(name: str, options: dict, theirs: str) -> None:
    torch.manual_seed(1)
    reference = getattr(torchvision.models, theirs)(num_classes=7).eval()
    ours = create(name, 7, size=224, **options).eval()
    ours.load_state_dict(reference.state_dict())
    x = images(64, 3, 1)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), reference(x))


def test_mobilenet_equals_timms() -> None:
    torch.manual_seed(1)
    reference = timm.create_model("mobilenetv1_100", num_classes=7, act_layer=nn.ReLU).eval()
    ours = create("mobilenet_v1_100", 7, size=224).eval()
    tensors = reference.state_dict().values()  # the same layers in the same order
    ours.load_state_dict(dict(zip(ours.state_dict(), tensors, strict=True)))
    x = images(64, 3, 1)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), reference(x))


@pytest.mark.parametrize(
    ("options", "count"),
    # By hand: 3x3 convolutions, two numbers a channel of normalization, a 2x2 head with bias.
    [({}, 95_380), ({"width": 2}, 328_900), ({"convs": 1}, 49_108)],
)
def test_street_cnn_counts(options: dict, count: int) -> None:
    network = create("street_cnn", 100, size=(24, 36), channels=1, **options)
    assert parameters(network) == count
    assert network.forward_features(images((24, 36), 1)).shape[2:] == (3, 5)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_vgg_with_batch_norm_counts_as_torchvisions(name: str) -> None:
    with torch.device("meta"):
        ours = create(name, 1000, size=224, batch_norm=True)
        theirs = getattr(torchvision.models, f"{name}_bn")()
    assert parameters(ours) == parameters(theirs)


@pytest.mark.parametrize("name", ["darknet19", "resnet18", "resnet50", "vgg16"])
def test_half_the_width_is_a_quarter_of_the_products(name: str) -> None:
    """But for the first layer, whose inputs stay, and the last, whose outputs do."""
    with torch.device("meta"):
        whole, half = (macs(create(name, 1, size=96, width=w), 3, (96, 96)) for w in (1.0, 0.5))
    assert half == pytest.approx(whole / 4, rel=0.08)


def test_darknet19_is_the_list_of_its_authors_layers() -> None:
    """(channels out, kernel) of darknet19.cfg, in order."""
    published = [(32, 3), (64, 3), (128, 3), (64, 1), (128, 3), (256, 3), (128, 1), (256, 3)]
    published += [(512, 3), (256, 1), (512, 3), (256, 1), (512, 3)]
    published += [(1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3), (1000, 1)]
    with torch.device("meta"):
        network = create("darknet19", 1000, size=224)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.kernel_size[0]) for m in layers] == published
    assert [m.bias is None for m in layers] == [True] * 18 + [False]
    assert sum(isinstance(m, nn.MaxPool2d) for m in network.modules()) == 5


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "darknet19", "mobilenet_v1_025", "resnet8", "resnet18"),
        *("mobilenet_v2_075", "shufflenet_v2_050", "squeezenet"),
        *("alexnet_xnor", "bireal_small", "resnet18_xnor"),
        pytest.param("densenet_k12", marks=pytest.mark.slow),
        pytest.param("nasnet_a", marks=pytest.mark.slow),
    ],
)
def test_stem(name: str) -> None:
    """`auto` takes the small stem below 96 pixels on the shorter side and ImageNet's from there."""
    for size, stem in [((95, 224), "small"), ((96, 96), "imagenet")]:
        with torch.device("meta"):
            auto, named, other = (
                create(name, 7, size=size, stem=s)
                for s in ("auto", stem, "imagenet" if stem == "small" else "small")
            )
            x = torch.empty(2, 3, *size)
            assert auto.forward_features(x).shape == named.forward_features(x).shape
            assert auto.forward_features(x).shape != other.forward_features(x).shape


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet81", {}, "no model is named 'resnet81'.*mean 'resnet8'.*alexnet.*timm:NAME"),
        ("resnet8", {"widht": 2}, "'resnet8' has no option 'widht'.*mean 'width'"),
        ("resnet18", {"stem": "big"}, "no stem is named 'big'.*auto, imagenet, small"),
        ("alexnet", {"stem": "imagenet"}, "at least 35 pixels a side, not 32x32"),
        ("alexnet_xnor", {"stem": "imagenet"}, "at least 63 pixels a side, not 32x32"),
        ("resnet18_xnor", {"width": 0.001}, "resnet_xnor: width 0.001 leaves no channels"),
        ("resnet18_xnor", {"weights": "bits"}, "weights is one of float, binary, ternary, int4"),
        ("bireal_small", {"widths": []}, "at least one stage"),
        ("resnet8", {"width": 0.001}, "leaves no channels"),
        ("resnet18", {"width": 0.001}, "resnet: width 0.001 leaves no channels"),
        ("darknet19", {"width": 0.001}, "darknet19: width 0.001 leaves no channels"),
        ("vgg16", {"width": 0.001}, "vgg: width 0.001 leaves no channels"),
        ("shufflenet_v2_100", {"width": 0.75}, r"width must be one of \[0.5, 1.0, 1.5, 2.0\]"),
        ("mobilenet_v2_100", {"width": 0}, "width must be above 0"),
        ("mobilenet_v2_100", {"variant": "cifar"}, "no variant is named 'cifar'"),
        ("shufflenet_v2_050", {"variant": "zoo", "stem": "imagenet"}, "no stem .imagenet."),
        ("street_cnn", {"widths": []}, "at least one stage"),
        ("street_cnn", {"widths": 16}, "can't be built with {'widths': 16}"),
        ("resnet8", {"dropout": 2}, "can't be built with {'dropout': 2}.*probability"),
        ("timm:resnet18x", {}, "timm has no model named 'resnet18x'.*mean 'resnet18'"),
        ("timm:resnet18", {"widht": 2}, "timm can't build 'resnet18'.*widht"),
        ("timm:coat_tiny", {}, "neither maps nor tokens"),
    ],
)
def test_wrong_names_and_options(name: str, options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        create(name, 7, size=32, **options)
    with pytest.raises(RecipeError, match="must be positive"):
        create("resnet8", 0, size=32)


def test_timm_is_imported_only_when_asked_for() -> None:
    code = (
        "import sys, tinyrefinery.models as models; models.create('resnet8', 2, size=32); "
        "print('timm' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
