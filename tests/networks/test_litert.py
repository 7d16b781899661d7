"""LiteRT files of others open, and predict what the LiteRT interpreter alone predicts."""

import numpy as np
import pytest
import torch

from tests.real import real_data
from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.litert_file import LiteRtNetwork
from tinyrefinery.models.runtime_network import ImageInput
from tinyrefinery.networks.facts import Facts
from tinyrefinery.networks.opening import open_network

FILES = 22


def others():
    pytest.importorskip("ai_edge_litert")
    return sorted(real_data("tflite").glob("*.tflite"))


def facts_of(path):
    classes = 10 if "Resnet" in path.name else 2
    stated = {"classes": tuple(str(number) for number in range(classes))}
    if path.name in (
        "mlperf_tiny_pretrainedResnet.tflite",
        "mlperf_tiny_pretrainedResnet_large_float.tflite",
    ):
        stated |= {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}  # trained on pixels, 0 to 255
    return Facts(**stated)


def by_hand(path, pixels):
    """Real outputs for pixels (h, w, C), by the interpreter alone."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    shift = -128 if taken["dtype"] is np.int8 else 0
    interpreter.set_tensor(
        taken["index"], (pixels.astype(int) + shift)[None].astype(taken["dtype"])
    )
    interpreter.invoke()
    outputs = interpreter.get_tensor(given["index"])[0].astype(np.float64)
    scale, zero = given["quantization"]
    return (outputs - zero) * scale if given["dtype"] is not np.float32 else outputs


def test_every_file_predicts_what_the_interpreter_predicts():
    paths = others()
    assert len(paths) == FILES
    for path in paths:
        network = open_network(path, stated=facts_of(path))
        assert network.kind == "litert"
        assert not network.is_torch
        info, net = network.info, network.load()
        assert isinstance(net, LiteRtNetwork)
        shape = (3, *info.size, info.channels)
        pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        mean, std = (np.float32(v) for v in (info.mean, info.std))
        images = ((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)  # (3, C, h, w)
        found = net.run(images.astype(np.float32))
        for one, image in zip(found, pixels, strict=True):
            alone = by_hand(path, image)
            np.testing.assert_allclose(one[-len(alone) :], alone, rtol=1e-5, atol=1e-5)
        assert net(torch.from_numpy(images.astype(np.float32))).shape == (3, len(info.classes))


def test_a_single_output_stands_for_two_classes():
    path = next(path for path in others() if "apighetti" in path.name)
    net = LiteRtNetwork(path)
    assert net.outputs == 2
    assert net.run(np.zeros((2, 3, 50, 50), np.float32)).shape == (2, 2)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_one_message(tmp_path, share):
    whole = others()[0].read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"cut\.tflite: is not a .*LiteRT file"):
        LiteRtNetwork(path)


def test_what_is_not_stated_is_asked():
    path = next(path for path in others() if "samy" in path.name)
    with pytest.raises(CheckpointError, match=r"doesn't state its classes.*samy\.tflite\.yaml"):
        open_network(path)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero", "takes_pixels"),
    [
        ("uint8", 0.0, 0, True),
        ("uint8", 1.0, 0, True),
        ("uint8", 1 / 255, 0, True),
        ("int8", 1.0, -128, True),
        ("int8", 1 / 255, -128, True),
        ("int8", 1.0, 0, False),
        ("int8", 0.0186, -14, False),
        ("float32", 0.0, 0, False),
    ],
)
def test_which_integers_are_pixels(dtype, scale, zero, takes_pixels):
    image = ImageInput("image", np.dtype(dtype), (1, 8, 8, 3), scale, zero)
    assert image.takes_pixels == takes_pixels


def test_normalized_integers_follow_scale_and_zero_point():
    image = ImageInput("image", np.dtype("int8"), (1, 2, 2, 3), 0.5, -3)
    encoded = image.encode(np.full((1, 3, 2, 2), 2.0, np.float32), (0,) * 3, (1,) * 3)
    assert encoded.dtype == np.int8
    assert (encoded == np.ones((1, 2, 2, 3))).all()
    clipped = image.encode(np.full((1, 3, 2, 2), 200.0, np.float32), (0,) * 3, (1,) * 3)
    assert clipped.max() == 127
