"""SkipblockNet: the paper's counts, its skip blocks, any size and width, ONNX."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.evaluation.cost import macs, parameters
from tinyrefinery.models import create

FAMILY = {
    # Millions: parameters, plain multiply-accumulates, and by the paper's count; the paper prints
    # 2.3, 3.6, 5.5, 7.1 and 81, 152, 246, 364.
    "skipblocknet_xs": (2.329, 76.2, 81.4),
    "skipblocknet_s": (3.579, 145.5, 152.2),
    "skipblocknet_s16": (3.587, 170.2, 178.8),
    "skipblocknet_m": (5.532, 236.6, 246.0),
    "skipblocknet_l": (7.134, 351.8, 364.3),
}


def on_meta(name: str, **options: object) -> nn.Module:
    with torch.device("meta"):
        return create(name, 1000, size=224, **options)


@pytest.mark.parametrize("name", FAMILY)
def test_the_papers_counts(name: str) -> None:
    network = on_meta(name)
    assert (
        round(parameters(network) / 1e6, 3),
        round(macs(network, 3, (224, 224)) / 1e6, 1),
        round(macs(network, 3, (224, 224), elementwise=True) / 1e6, 1),
    ) == FAMILY[name]


def test_the_blocks_of_m() -> None:
    """Channels and expansions as in the code's configuration."""
    network = on_meta("skipblocknet_m")
    found = [
        [(b.block.expand.conv.out_channels, b.block.project.conv.out_channels) for b in stage]
        for stage in network.stages
    ]
    assert found == [
        [(64, 24), (72, 24), (72, 40), (120, 40), (240, 40)],
        [(240, 80), (200, 80), (184, 80), (184, 80)],
        [(480, 112), (672, 112), (672, 160), (960, 160), (960, 160)],
    ]
    counts = [parameters(skip) for skip in network.skips]
    assert counts == [8_240, 4_520]
    assert (network.last.conv.out_channels, network.fc.in_features) == (960, 1280)


def test_sizes_at_224_are_the_codes() -> None:
    """Its constants 28 and 14 are the sizes of what skip blocks are added to."""
    network, sizes = create("skipblocknet_xs", 10, size=224).eval(), []
    for skip in network.skips:
        skip.register_forward_hook(lambda module, given, out: sizes.append(tuple(out.shape[2:])))
    with torch.inference_mode():
        features = network.forward_features(torch.zeros(1, 3, 224, 224))
    assert sizes == [(28, 28), (14, 14)]
    assert features.shape[2:] == (7, 7)


@pytest.mark.parametrize("size", [32, 33, 47, 96, 160, (225, 218), 256, 320, (64, 128)])
@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_any_size(size: int | tuple[int, int], stem: str) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    if stem == "small" and max(height, width) > 128:
        pytest.skip("nobody keeps the resolution of large images")
    network = create("skipblocknet_xs", 10, size=size, stem=stem).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, height, width)).isfinite().all()


@pytest.mark.parametrize("width", [0.1, 0.35, 0.6, 1.0, 1.15, 1.6])
def test_any_width(width: float) -> None:
    network = create("skipblocknet_m", 10, size=32, width=width).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_skip_blocks_take_what_the_first_block_gives() -> None:
    network = create("skipblocknet_xs", 10, size=32).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        early = network.stem(x)
        first = network.stages[0](early)
        second = network.stages[1](network.skips[0](early, first))
        expected = network.last(network.stages[2](network.skips[1](early, second)))
        torch.testing.assert_close(network.forward_features(x), expected)


@pytest.mark.parametrize("options", [{"width": 0}, {"hidden": 0}, {"stem_width": 0}])
def test_what_cant_be_built(options: dict) -> None:
    with pytest.raises(RecipeError, match="width, hidden and stem_width must be above 0"):
        create("skipblocknet_xs", 10, size=32, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("skipblocknet_xs", size) for size in ((32, 32), (100, 75), (224, 224), (320, 320))),
        *((name, (47, 61)) for name in FAMILY if name != "skipblocknet_s16"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_as_onnx_it_is_the_same(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    """Also where the maps that skip blocks pool don't divide evenly."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = create(name, 10, size=size)
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        network(x)  # so that running statistics aren't the initial ones
        network.fc.weight.mul_(1000)
    network.eval()
    path = tmp_path / "network.onnx"
    torch.onnx.export(network, (x,), path, dynamo=True, verbose=False)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.inference_mode():
        expected = network(x).numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_without_skip_blocks_nothing_else_differs() -> None:
    whole, bare = on_meta("skipblocknet_m"), on_meta("skipblocknet_m", skip_blocks=False)
    assert parameters(whole) - parameters(bare) == 8_240 + 4_520
    names = dict(whole.named_parameters()).keys() - dict(bare.named_parameters()).keys()
    assert {name.split(".")[0] for name in names} == {"skips"}
    network = create("skipblocknet_xs", 10, size=32, skip_blocks=False).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        stages = nn.Sequential(*network.stages)
        torch.testing.assert_close(
            network.forward_features(x), network.last(stages(network.stem(x)))
        )
