"""Binary and lookup networks learn, and the loop keeps their weights where they belong."""

import pytest
import torch
from lightning_fabric import Fabric

from tests.data.scenes import stripes
from tests.losses.named import create as create_loss
from tinyrefinery.data.batches import View
from tinyrefinery.labels.policy import GivenLabels
from tinyrefinery.layers.binary import Quantized
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.losses import LOSSES
from tinyrefinery.models import create
from tinyrefinery.models.rounded_network import RoundedNetwork
from tinyrefinery.options.crops import Inception
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.optimizers import Adam
from tinyrefinery.options.schedules import Cosine
from tinyrefinery.options.training import TrainingOptions
from tinyrefinery.training import learning_rates, parameter_groups
from tinyrefinery.training.job import Training
from tinyrefinery.training.loop import fit

DATA = stripes()
SIZE = 16
SMALL = {"widths": [16, 32], "depth": 1}


def trained(folder, name, kwargs, *, epochs=6, lr=0.01, loss="cross_entropy", **engine):
    torch.manual_seed(0)
    network = create(name, 3, size=SIZE, channels=1, **kwargs)
    job = Training(
        network=network,
        view=View(DATA, Inception(size=(SIZE, SIZE)), seed=2),
        rows=DATA.manifest.rows("train"),
        policy=GivenLabels(3),
        loss=create_loss(loss),
        optimizer=parameter_groups.build(Adam(lr=lr, weight_decay=0.1), network),
        schedule=learning_rates.build(Cosine(), epochs),
        options=TrainingOptions(epochs=epochs, batch_size=16),
        engine=Engine(**engine),
        fabric=Fabric(accelerator="cpu", devices=1),
        validate=lambda network: {"validation_top1": 0.5},
        folder=folder,
        seed=5,
    )
    return fit(job)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("bireal_small", SMALL),
        ("bireal_small", {**SMALL, "weights": "ternary"}),
        ("bireal_small", {**SMALL, "weights": "int4"}),
        ("bireal_small", {**SMALL, "activations": "float"}),
        ("resnet18_xnor", {"width": 0.25}),
        ("resnet18_xnor", {"width": 0.25, "input_scale": True}),
        ("resnet50_xnor", {"width": 0.125}),
        ("resnet8_lcnn", {"words": 8, "sparsity": 1.0}),
        pytest.param("alexnet_xnor", {}, marks=pytest.mark.slow),
    ],
)
def test_it_learns_and_its_weights_stay_where_they_belong(tmp_path, name, kwargs):
    network, history = trained(tmp_path, name, kwargs)
    assert history[-1]["train_top1"] > 0.5  # of 80 images; chance is a third
    for layer in network.modules():
        if isinstance(layer, Quantized) and layer.weights in ("binary", "ternary"):
            assert layer.weight.abs().max() <= layer.clip
            if layer.centered:
                assert layer.weight.mean(dim=1).abs().max() < 1e-5
        if isinstance(layer, LookupConv2d):
            assert torch.equal(layer.coefficients == 0, ~layer.is_kept)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("name", "kwargs"), [("bireal_small", SMALL), ("resnet8_lcnn", {"words": 8})]
)
def test_every_loss_trains_it(tmp_path, name, kwargs, loss):
    _, history = trained(tmp_path, name, kwargs, epochs=2, loss=loss)
    assert history[1]["train_loss"] < history[0]["train_loss"]


def test_the_penalty_is_in_the_loss_and_makes_coefficients_sparse(tmp_path):
    found = []
    for sparsity in (0.0, 30.0):
        kwargs = {"words": 8, "sparsity": sparsity, "threshold": 0.1}
        network, history = trained(tmp_path / str(sparsity), "resnet8_lcnn", kwargs, epochs=4)
        layers = [m for m in network.modules() if isinstance(m, LookupConv2d)]
        kept = sum(int(layer.is_kept.sum()) for layer in layers)
        found.append((kept, history[0]["train_loss"]))
    (dense, plain), (sparse, pulled) = found
    assert sparse < 0.8 * dense
    assert pulled > plain + 1


def test_binary_weights_do_not_decay():
    network = create("bireal_small", 3, size=SIZE, channels=1, **SMALL)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = parameter_groups.build(Adam(lr=0.1, weight_decay=0.1), network).param_groups
    free = {names[id(p)] for g in groups if g["weight_decay"] == 0 for p in g["params"]}
    assert free == {"stages.0.1.conv.weight", "stages.1.1.conv.weight"}


def test_eight_bit_rounding_is_refused():
    network = create("bireal_small", 3, size=SIZE, channels=1, **SMALL)
    with pytest.raises(RuntimeError, match="binary layers have values of their own"):
        RoundedNetwork(network, (SIZE, SIZE), 1)
