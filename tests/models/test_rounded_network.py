"""A network rounded in training rounds what its int8 artifact rounds."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.onnx_graph import export_graph
from tinyrefinery.deploy.export.onnx_int8 import prepare_onnx, quantize_onnx
from tinyrefinery.labels.batch_norm import recalibrate
from tinyrefinery.layers.rounding import RoundedActivations, RoundedWeights
from tinyrefinery.models import create
from tinyrefinery.models.rounded_network import RoundedNetwork

SIZE, FIRST = 32, 3
"""Pixels, and how many layers are compared: behind them, single steps have added up."""


def network_of(name):
    torch.manual_seed(0)
    network = create(name, 10, size=SIZE)
    recalibrate(network, [torch.randn(64, 3, SIZE, SIZE)])
    return network.eval()


def measure_ranges(rounded, images):
    """The ranges of the values that aren't rounded, as the converter calibrates."""
    kinds = (RoundedActivations, RoundedWeights)
    layers = [module for module in rounded.modules() if isinstance(module, kinds)]
    hooks = [layer.register_forward_hook(lambda module, taken, given: taken[0]) for layer in layers]
    rounded.train()(images)
    for hook in hooks:
        hook.remove()
    rounded.eval()


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v1_025"])
def test_it_rounds_where_the_converter_does(name, tmp_path):
    network, images = network_of(name), torch.randn(32, 3, SIZE, SIZE)
    rounded = RoundedNetwork(network, (SIZE, SIZE), 3)
    measure_ranges(rounded, images)
    scales, steps = by_converter(network, images, tmp_path)
    layers = [m for m in rounded.modules() if isinstance(m, RoundedActivations)]
    assert sorted(scales) == pytest.approx(
        sorted(float(m.high - m.low) / 255 for m in layers), rel=1e-4
    )
    found = []
    for layer in layers:
        layer.register_forward_hook(lambda module, taken, given: found.append(given))
    with torch.no_grad():
        rounded(images[:1])
    for layer, ours, theirs in list(zip(layers, found, steps, strict=True))[:FIRST]:
        ours = ours.permute(0, 2, 3, 1) if ours.shape[1:] != theirs.shape[1:] else ours
        off = np.abs(ours.numpy() - theirs) / float(layer.high - layer.low) * 255
        # Sums in another order fall on the other side of a half now and then.
        assert off.max() < 1.01
        assert (off > 0.5).mean() < 0.03


def by_converter(network, images, folder):
    """Scales of all values that the int8 file rounds, and these values for the first image."""
    module = Exportable(network, (0, 0, 0), (1, 1, 1), normalize=False)
    files = [folder / f"{name}.onnx" for name in ("float", "prepared", "int8")]
    export_graph(module, (SIZE, SIZE), 3, "network", files[0])
    prepare_onnx(files[0], files[1])
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
    quantize_onnx(files[1], files[2], arrays, "minmax", pixels=False)
    model = onnx.load(files[2])
    values = {v.name: onnx.numpy_helper.to_array(v) for v in model.graph.initializer}
    ends = {node.input[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    starts = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    names = [ends[node.output[0]].output[0] for node in starts]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    scales = [float(values[node.input[1]]) for node in starts]
    return scales, session.run(names, {"image": arrays[:1]})


def test_its_parameters_are_those_of_the_network():
    network = network_of("resnet8")
    rounded = RoundedNetwork(network, (SIZE, SIZE), 3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert {id(p) for p in rounded.parameters()} == {id(p) for p in network.parameters()}
    rounded(torch.randn(8, 3, SIZE, SIZE)).square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    # Batch normalization kept its statistics.
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    other = rounded.restore(create("resnet8", 10, size=SIZE)).eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    torch.testing.assert_close(other(images), network(images))


def test_what_cannot_be_traced():
    class Branch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, images):
            x = images.mean((2, 3))
            return self.layer(x) if float(x.sum()) > 0 else self.layer(-x)

    with pytest.raises(RuntimeError):
        RoundedNetwork(Branch(), (4, 4), 3)
