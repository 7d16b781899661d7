"""The settings of the Bias Loss recipes and of Label Refinery's are those of the papers' text."""

import re

import pytest

from tests.papers.source_tables import source_text
from tinyrefinery.recipe.detection import load_detection
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import shipped_folder

FOLDER = shipped_folder()


def test_section_51_on_imagenet():
    recipe = load_recipe(FOLDER / "bias_loss/imagenet.yaml")
    (stage,) = recipe.stages
    rule, schedule = stage.optimizer, stage.schedule
    assert (rule.name, rule.alpha, rule.momentum, rule.weight_decay) == ("rmsprop", 0.9, 0.9, 1e-5)
    assert (rule.lr, stage.bn_momentum, stage.ema) == (0.032, 0.01, 0.99995)
    assert (schedule.warmup, schedule.factor, schedule.every) == (3, 0.97, 2.4)
    assert schedule.warmup_start * rule.lr == pytest.approx(1e-6)
    assert (stage.batch_size, recipe.data.train_crop.size) == (512, (224, 224))
    assert (stage.loss.alpha, stage.loss.beta) == (0.3, 0.3)


def test_section_52_on_cifar100():
    recipe = load_recipe(FOLDER / "bias_loss/cifar100.yaml")
    (stage,) = recipe.stages
    rule = stage.optimizer
    assert (rule.name, rule.lr, rule.momentum, rule.weight_decay) == ("sgd", 0.1, 0.9, 5e-4)
    assert (stage.schedule.at, stage.schedule.factor) == ((60, 120, 160), 0.2)
    assert (recipe.data.rotate, recipe.data.flip) == (15, 0.5)


def test_section_54_on_pascal_voc():
    recipe = load_detection(FOLDER / "bias_loss/voc.yaml")
    training = recipe.training
    assert recipe.data.source.splits == {"train": "VOC2012/trainval", "test": "VOC2007/test"}
    assert (recipe.detector.size, training.epochs, training.batch_size) == (300, 200, 42)
    assert (training.optimizer.name, training.optimizer.lr) == ("sgd", 0.01)
    assert (training.schedule.name, training.schedule.warmup) == ("cosine", 0)


@pytest.mark.parametrize(
    ("paper", "pattern"),
    [
        ("bias_loss", r"PASCAL VOC 2012 trainval split as training data"),
        ("bias_loss", r"PASCAL VOC2007 Detection"),
        (
            "bias_loss",
            r"SGD optimizer for 200\S* epochs, with a batch size of 42\S*, an input image",
        ),
        (
            "bias_loss",
            r"size of 300×300×3.*3, and an initial learning rate of 0\.01\S* with cosine",
        ),
        ("bias_loss", r"RMSProp optimizer with a decay of 0\.9\S* and a momentum of 0\.9"),
        ("bias_loss", r"batch norm momentum of 0\.99.*weight decay of 1e.*0\.97\S* every 2\.4"),
        ("bias_loss", r"Inception preprocessing with an image size of 224×224"),
        (
            "bias_loss",
            r"batch size of 512.*exponential moving average with a decay rate of 0\.99995",
        ),
        ("bias_loss", r"decays at the epochs 60\S*, 120\S*, 160\S* at a rate of 0\.2"),
        ("label_refinery", r"on 4 GPUs for 200 epochs.*constant for the first 140 epochs"),
        (
            "label_refinery",
            r"divided by 10 after epoch 140 and again divided by 10 after epoch 170",
        ),
        (
            "label_refinery",
            r"rate of 0\.01 to train AlexNet and an initial learning rate of 0\.1 for",
        ),
        ("label_refinery", r"batch size of 256 for all models except the MobileNet .* size of 512"),
        ("label_refinery", r"gradient step of\s+\$\\eta = 1\$"),
    ],
)
def test_the_text_has_these_settings(paper, pattern):
    assert re.search(pattern, source_text(paper))
