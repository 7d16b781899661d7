"""Network files that are whole, damaged, foreign or of something else."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.weights_digest import weights_digest
from tinyrefinery.errors import CheckpointError, RefineryError, StorageError
from tinyrefinery.models import create
from tinyrefinery.models.digest import tensors_digest
from tinyrefinery.models.network_file import NetworkInfo, load_network, read_info, save_network
from tinyrefinery.models.weights import load_weights, read_weights
from tinyrefinery.reading.digests import sealed

COMMON = {
    "name": "resnet8",
    "kwargs": {"width": 0.5},
    "classes": ("cat", "dog", "ßheep"),
    "size": (24, 32),
    "channels": 1,
    "mean": (0.1,),
    "std": (0.3,),
}


def network(classes: int = 3, width: float = 0.5) -> torch.nn.Module:
    return create("resnet8", classes, size=(24, 32), channels=1, width=width)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_network(path, network(), **COMMON, extra={"stage": "gen1", "seed": 3})
    return path


def rewrite(path: Path, **changes: object) -> None:
    """Change the header of a network file."""
    info = sealed(json.loads(read_info_json(path)) | changes)
    save_file(read_weights(path), path, {"tinyrefinery": json.dumps(info)})


def read_info_json(path: Path) -> str:
    length = int.from_bytes(path.read_bytes()[:8], "little")
    return json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]["tinyrefinery"]


def test_info_comes_back(saved: Path) -> None:
    loaded, info = load_network(saved)
    assert info == NetworkInfo(**COMMON, extra={"stage": "gen1", "seed": 3}) == read_info(saved)
    assert not loaded.training


def test_equal_networks_give_equal_bytes(tmp_path: Path) -> None:
    one = network()
    for name in "ab":
        save_network(tmp_path / name, one, **COMMON)
        one = one.to(memory_format=torch.channels_last)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_lists_as_options(tmp_path: Path) -> None:
    """JSON makes lists of tuples; the network must not mind."""
    kwargs = {"widths": (4, 8), "convs": 2}
    made = create("street_cnn", 3, size=(24, 32), channels=1, **kwargs)
    save_network(tmp_path / "m", made, **COMMON | {"name": "street_cnn", "kwargs": kwargs})
    assert weights_digest(load_network(tmp_path / "m")[0]) == weights_digest(made)


def test_not_a_number_and_infinity_survive(tmp_path: Path) -> None:
    made = network()
    with torch.no_grad():
        made.fc.bias.copy_(torch.tensor([float("nan"), float("inf"), -0.0]))
    save_network(tmp_path / "m", made, **COMMON)
    assert weights_digest(load_network(tmp_path / "m")[0]) == weights_digest(made)


def test_pretrained_weights_are_not_fetched_again(tmp_path: Path) -> None:
    made = create("timm:mobilenetv3_small_050", 3, size=(24, 32), channels=1)
    changes = {"name": "timm:mobilenetv3_small_050", "kwargs": {"pretrained": True}}
    save_network(tmp_path / "m", made, **COMMON | changes)
    assert weights_digest(load_network(tmp_path / "m")[0]) == weights_digest(made)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 3000, -1])
def test_truncated(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    for read in (load_network, read_info, read_weights):
        with pytest.raises(CheckpointError, match=r"model\.safetensors.*truncated"):
            read(saved)


def test_missing_and_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for read in (load_network, read_weights):
        with pytest.raises(CheckpointError, match=r"model\.safetensors.*no such file"):
            read(path)
    path.write_text("hello, I am a text file of some length")
    with pytest.raises(CheckpointError, match="not a safetensors"):
        load_network(path)


def test_weights_without_our_header(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="no network description"):
        load_network(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet9"}, "can't be built.*no model is named 'resnet9'.*mean 'resnet8'"),
        ({"kwargs": {"widths": 2}}, "can't be built.*no option 'widths'"),
        ({"kwargs": {"width": 1}}, r"of another shape: .*is \(8,.*not \(16,"),
        ({"classes": ["a", "b"]}, "trained for 3 classes, but 2 are needed"),
        ({"classes": list(range(16))}, "trained for 3 classes, but 16 are needed"),
        ({"format": 2}, "newer version"),
        ({"surprise": 1}, "header is damaged"),
        ({"size": 3}, "header is damaged"),
    ],
)
def test_header_that_does_not_fit(saved: Path, changes: dict, message: str) -> None:
    rewrite(saved, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_network(saved)
    assert str(saved) in str(caught.value)


def test_missing_and_surplus_tensors(saved: Path) -> None:
    weights = read_weights(saved)
    weights["extra"] = weights.pop("fc.bias")
    info = json.loads(read_info_json(saved)) | {"weights_digest": tensors_digest(weights)}
    save_file(weights, saved, {"tinyrefinery": json.dumps(sealed(info))})
    with pytest.raises(CheckpointError, match=r"missing: fc\.bias.* unexpected: extra"):
        load_network(saved)


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "model", "parallel", "compiled"])
def test_weights_of_others(tmp_path: Path, wrap: str) -> None:
    source, target = network(), network()
    state = source.state_dict()
    prefix = {"parallel": "module.", "compiled": "_orig_mod."}.get(wrap, "")
    content = {prefix + name: tensor for name, tensor in state.items()}
    if wrap in ("state_dict", "model"):
        content = {wrap: content, "epoch": 3}
    torch.save(content, tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth", 3)
    assert weights_digest(target) == weights_digest(source)


def test_weights_of_timm(tmp_path: Path) -> None:
    ours = create("timm:mobilenetv3_small_050", 3, size=32)
    other = create("timm:mobilenetv3_small_050", 3, size=32)
    torch.save(other.network.state_dict(), tmp_path / "w.pt")
    load_weights(ours, tmp_path / "w.pt", 3)
    assert weights_digest(ours) == weights_digest(other)


def test_other_classes_name_both_numbers(tmp_path: Path) -> None:
    torch.save(network(classes=10).state_dict(), tmp_path / "w.pt")
    made = network(classes=3)
    before = weights_digest(made)
    with pytest.raises(CheckpointError, match=r"w\.pt: was trained for 10 classes, but 3"):
        load_weights(made, tmp_path / "w.pt", 3)
    assert weights_digest(made) == before


def test_pickles_that_run_code_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": {"a": torch.ones(1)}, "hook": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt: holds more than tensors.*could run code"):
        read_weights(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("keep", [0, 4, 100, 3000, -30])
def test_truncated_pickle(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "w.pt"
    torch.save(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"w\.pt.*truncated"):
        read_weights(path)


def test_no_pickle_at_all(tmp_path: Path) -> None:
    for content in (
        b"hello, I am a text file",
        b"\x90\x08\0\0\0\0\0\0{}",
        b"PK\x03\x04 no archive",
    ):
        (tmp_path / "w.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"w\.pt: truncated, or not a PyTorch file"):
            read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, {"state_dict": {"a": 1}}])
def test_pickle_without_weights(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="no named tensors"):
        read_weights(tmp_path / "w.pt")


def test_no_space_left_keeps_what_was_there(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(self: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        save_network(saved, network(), **COMMON)
    assert isinstance(caught.value, RefineryError)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_any_flipped_bit_is_found_wherever_the_file_lies(saved: Path) -> None:
    """Most flipped bits leave a file that loads, with another network in it."""
    content = saved.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(len(content), size=200):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        saved.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load_network(saved)
