"""`export --to packed`, and its files in the commands that open networks."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.deploy.packing.binary_networks import binary_network, lookup_network
from tinyrefinery.deploy.costs.summarizing import summarize
from tinyrefinery.deploy.export.artifact_facts import METADATA
from tinyrefinery.deploy.export.export_options import ExportOptions
from tinyrefinery.deploy.export.exporting import export_network
from tinyrefinery.deploy.export.parity import LARGEST_DIFFERENCE
from tinyrefinery.deploy.export.verification import verify
from tinyrefinery.errors import CheckpointError, DataError, RecipeError
from tinyrefinery.models import create
from tinyrefinery.models.network_file import save_network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import Budget
from tinyrefinery.packed.packed_runtime import PackedRuntime

FACTS = {
    **{"name": "bireal_small", "kwargs": {}, "classes": tuple("abcdefghij"), "size": (32, 32)},
    **{"channels": 3, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)},
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("binary") / "net.safetensors"
    save_network(path, binary_network("bireal_small", 32), **FACTS)
    return open_network(path)


def _export(network, tmp_path, **options):
    return export_network(network, ExportOptions(("packed",), out=tmp_path, **options))[0]


def test_an_artifact_is_checked_and_predicts_what_the_network_predicts(network, tmp_path):
    exported = _export(network, tmp_path)
    assert exported.passed
    assert exported.path.suffix == ".packed"
    assert (exported.record["precision"], exported.record["output"]) == ("binary", "logits")
    assert verify(exported.path).passed
    packed = open_network(exported.path)
    assert (packed.classes, packed.info.size, packed.kind) == (FACTS["classes"], (32, 32), "packed")
    images = torch.rand(8, 3, 32, 32).mul(255).round() / 255
    mean, std = (torch.tensor(FACTS[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        expected, found = (each.load()((images - mean) / std) for each in (network, packed))
    assert (found.argmax(1) == expected.argmax(1)).all()
    close = (found - expected).abs().amax(1) < 1e-5 * expected.abs().max()
    assert close.sum() >= 7  # a sign within rounding of its bound may differ


def test_normalized_images_can_be_the_input(network, tmp_path):
    exported = _export(network, tmp_path, preprocessing=METADATA)
    assert exported.passed
    packed = open_network(exported.path)
    assert packed.info.mean == FACTS["mean"]
    images = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(packed.load()(images), network.load()(images), atol=1e-3)


def test_its_size_is_a_thirtieth_in_binary_layers(network, tmp_path):
    found = summarize(str(_export(network, tmp_path).path))
    binary = [layer for layer in found.layers if layer.binary_macs]
    assert found.form == "packed"
    assert found.binary_macs == 84_934_656  # as PyTorch's layers count
    floats = 4 * sum(layer.parameters for layer in binary)
    assert floats / sum(layer.bytes for layer in binary) > 28  # with scales, slopes and norms


@pytest.fixture(scope="module")
def lookups(tmp_path_factory):
    path = tmp_path_factory.mktemp("lookup") / "net.safetensors"
    kwargs = {"words": 16, "threshold": 2.5}
    network = lookup_network("resnet8_lcnn", 32, words=16)
    save_network(path, network, **{**FACTS, "name": "resnet8_lcnn", "kwargs": kwargs})
    return open_network(path)


def test_a_lookup_network_is_packed_and_every_image_is_checked(lookups, tmp_path):
    exported = _export(lookups, tmp_path)
    assert exported.passed
    assert exported.record["precision"] == "float32"
    assert exported.parity.logit < LARGEST_DIFFERENCE  # of all images
    assert verify(exported.path).passed
    packed = open_network(exported.path)
    images = torch.rand(8, 3, 32, 32).mul(255).round() / 255
    mean, std = (torch.tensor(FACTS[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        expected, found = (each.load()((images - mean) / std) for each in (lookups, packed))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_file_of_a_lookup_network_counts_as_its_layers(lookups, tmp_path):
    file, network = (
        summarize(str(path)) for path in (_export(lookups, tmp_path).path, lookups.file)
    )
    assert file.macs == network.macs
    assert file.binary_macs == 0
    assert network.packed.smaller == pytest.approx(4 * 77_946 / file.file, rel=0.03)  # metadata


def test_its_cost_is_recorded_and_limited_by_a_budget(network, tmp_path):
    record = _export(network, tmp_path, budget=Budget(flash=600_000)).record
    arena = PackedRuntime(network_file(tmp_path).read_bytes()).program.arena
    assert record["cost"]["flash"] == record["bytes"] == network_file(tmp_path).stat().st_size
    assert record["cost"]["arena"] == {"head": arena, "tail": 0}
    assert record["cost"]["macs"] == 84_934_656 + 2_460_160  # of bits and of numbers
    refused = _export(network, tmp_path / "small", budget=Budget(ram=arena - 1, macs=9))
    assert not refused.written
    assert [text.partition(" is ")[0] for text in refused.excess] == ["ram", "macs"]
    assert not list((tmp_path / "small").glob("*.packed"))


def network_file(folder):
    (file,) = folder.glob("*.packed")
    return file


def test_what_is_not_binary_is_refused(tmp_path):
    save_network(
        tmp_path / "float.safetensors",
        create("resnet8", 10, size=32).eval(),
        **{**FACTS, "name": "resnet8"},
    )
    with pytest.raises(DataError, match=r"can't be packed: it has no layer with binary weights"):
        _export(open_network(tmp_path / "float.safetensors"), tmp_path)
    assert not list(tmp_path.glob("*.packed*"))


def test_int8_is_refused(network, tmp_path):
    with pytest.raises(RecipeError, match="leave --int8 out"):
        _export(network, tmp_path, int8=True)


def test_a_damaged_file_is_refused_in_one_sentence(network, tmp_path):
    path = _export(network, tmp_path).path
    content = path.read_bytes()
    for damaged in (b"", content[:1000], content[:-1], content[:9000] + b"x" + content[9001:]):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="Export it again or restore a copy"):
            open_network(path)


def test_all_variants_run_it(network, tmp_path):
    from tinyrefinery.models.packed_file import PackedNetwork
    from tinyrefinery.packed.packed_runtime import variants

    path = _export(network, tmp_path).path
    images = np.random.default_rng(0).random((2, 3, 32, 32)).astype(np.float32)
    runs = [PackedNetwork(path, variant=variant).run(images) for variant in variants()]
    assert all((found == runs[0]).all() for found in runs)


def test_summary_says_what_packing_gains(network):
    gain = summarize(str(network.file)).packed
    assert 18 < gain.smaller < 19
    assert dataclasses.asdict(gain)["smaller"] == gain.smaller
    assert summarize("resnet8", size=32).packed is None
