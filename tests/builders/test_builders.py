"""From recipe to objects, where that isn't a mere copy of fields."""

import pytest
import torch

from tests.recipe_files import write_tiny
from tinyrefinery import builders
from tinyrefinery.errors import RecipeError
from tinyrefinery.networks.frozen import frozen_network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.training import learning_rates as schedules
from tinyrefinery.training import parameter_groups as optimizers
from tinyrefinery.training.learning_rates import PlateauSchedule


def test_a_pretrained_model_of_timm_gets_the_input_it_knows(tmp_path, monkeypatch):
    """1,000 classes of street numbers stand for ImageNet's; weights are not fetched here."""
    asked = {}

    def create(name, classes, **options):
        asked.update(name=name, classes=classes, **options)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, classes))

    monkeypatch.setattr("tinyrefinery.models.create", create)
    change = [
        "data.source={name: street_numbers, train: 64, validation: 8, test: 8, digits: 3, "
        "channels: 3}",
        "data.train_crop={name: center, size: 32}",
    ]
    recipe = load_recipe(write_tiny(tmp_path), change)
    data = builders.dataset(recipe.data)
    network = open_network("timm:resnet18.a1_in1k")
    frozen = frozen_network(network, data, recipe.data.train_crop.size)
    assert asked["pretrained"] is True
    assert asked["name"] == "timm:resnet18.a1_in1k"
    assert frozen.mean == (0.485, 0.456, 0.406)  # timm's and torchvision's ImageNet constants
    half = load_recipe(write_tiny(tmp_path), [*change, "data.mean=[0.5,0.5,0.5]"])
    view = builders.train_view(half, data, 2, torch.device("cpu"))
    labels = half.generations[1].labels
    rows = data.manifest.rows("train")
    refiner = builders.refiner(labels, [frozen], view, rows, half.engine)
    batch = view.render(rows[:16], 0)
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    as_known = (batch.images * std + 0.5 - mean) / std
    expected = frozen.network(as_known).softmax(1)
    torch.testing.assert_close(refiner(batch.images), expected.detach(), atol=1e-5, rtol=1e-4)


def test_plateau_keeps_its_warmup(tmp_path):
    change = "stages.plain.schedule={name: plateau, warmup: 1, factor: 0.5}"
    recipe = load_recipe(write_tiny(tmp_path), [change])
    stage = recipe.generations[0]
    schedule = schedules.build(stage.schedule, stage.epochs)
    assert isinstance(schedule, PlateauSchedule)
    assert schedule(0.5) == 0.5


def test_the_momentum_of_running_statistics_can_be_set(tmp_path):
    from tinyrefinery.models.network_file import load_network, save_network

    recipe = load_recipe(write_tiny(tmp_path), ["stages.refined.bn_momentum=0.01"])
    data = builders.dataset(recipe.data)
    plain, refined = (builders.network(stage, data, recipe, 1) for stage in recipe.generations)
    found = [
        {module.momentum for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)}
        for net in (plain, refined)
    ]
    assert found == [{0.1}, {0.01}]
    info = builders.describe(recipe, recipe.generations[1], data)
    save_network(tmp_path / "net.safetensors", refined, **vars(info))
    again, _ = load_network(tmp_path / "net.safetensors")
    for name, value in refined.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_the_papers_imagenet_schedule():
    """Section 5.1: from 1e-6 to .032 in 3 epochs, then times .97 every 2.4 epochs.

    The warm-up reaches .032 itself, although the first decay is at epoch 2.4.
    """
    (stage,) = load_recipe(locate("bias_loss/imagenet")).generations
    schedule, rate = schedules.build(stage.schedule, stage.epochs), stage.optimizer.lr
    assert rate * schedule(0.0) == pytest.approx(1e-6)
    assert rate * schedule(1.5) == pytest.approx((1e-6 + 0.032) / 2)
    assert rate * schedule(3.0) == pytest.approx(0.032)
    for epoch in (3.01, 4.79, 4.81, 7.3, 240.1):
        assert rate * schedule(epoch) == pytest.approx(0.032 * 0.97 ** (epoch // 2.4))
    optimizer = optimizers.build(stage.optimizer, torch.nn.Linear(2, 2))
    assert type(optimizer).__name__ == "RMSpropTF"
    (group,) = optimizer.param_groups
    wanted = {"alpha": 0.9, "momentum": 0.9, "eps": 1e-3, "weight_decay": 1e-5, "lr": 0.032}
    assert {name: group[name] for name in wanted} == wanted


def test_generations_have_weights_and_crops_of_their_own(tmp_path):
    recipe = load_recipe(write_tiny(tmp_path))
    seeds = {
        builders.stage_seed(recipe, what, generation, extra)
        for what in ("weights", "crops")
        for generation in (1, 2)
        for extra in (None, 0, 1)
    }
    assert len(seeds) == 12


def test_tensorboard_is_missed_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(builders.training_setup, "find_spec", lambda name: None)
    recipe = load_recipe(write_tiny(tmp_path), ["engine.tensorboard=true"])
    with pytest.raises(RecipeError, match="tensorboard is missing; pip install"):
        builders.fabric(recipe.engine)
