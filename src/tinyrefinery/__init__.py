"""Tiny Refinery: the open factory for tiny vision models.

The names below are the Python interface. They are loaded on first use, so that
`import tinyrefinery` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyrefinery.api import export, fine_tune, fit, model_card, refine, train
    from tinyrefinery.data.batches import View, shuffled, split_batches
    from tinyrefinery.data.batches import load as load_batches
    from tinyrefinery.data.dataset import Dataset
    from tinyrefinery.data.open import open_data
    from tinyrefinery.data_tests.session import run_tests
    from tinyrefinery.data_tests.verdicts import exit_code
    from tinyrefinery.deploy.bundle.bundling import write_bundle as bundle
    from tinyrefinery.device.foretell import foretell_cost
    from tinyrefinery.errors import RefineryError
    from tinyrefinery.evaluation.predictions import predict as predict_rows
    from tinyrefinery.execution.chain import Chain, Generation
    from tinyrefinery.labels.crop_labels import CropLabels
    from tinyrefinery.labels.policy import GivenLabels, RefinedLabels, SmoothedLabels
    from tinyrefinery.labels.refiner import Refiner
    from tinyrefinery.labels.store.encodings import choose as label_form
    from tinyrefinery.labels.store.reader import StoredLabels
    from tinyrefinery.labels.store.store import LabelStore
    from tinyrefinery.losses import build as build_loss
    from tinyrefinery.models import create as create_model
    from tinyrefinery.models.network_file import load_network, save_network
    from tinyrefinery.networks.held_out import held_out
    from tinyrefinery.networks.network import Network
    from tinyrefinery.networks.network_data import open_network_data
    from tinyrefinery.networks.opening import open_network, open_networks
    from tinyrefinery.options.crops import Center, Inception
    from tinyrefinery.options.engine import Engine
    from tinyrefinery.options.labels import Refining
    from tinyrefinery.options.losses import CrossEntropy, Kl
    from tinyrefinery.options.optimizers import AdamW
    from tinyrefinery.options.schedules import Cosine
    from tinyrefinery.options.training import TrainingOptions
    from tinyrefinery.prediction.predict_pictures import predict
    from tinyrefinery.recipe.load import load_recipe
    from tinyrefinery.training.job import Training
    from tinyrefinery.training.learning_rates import build as build_schedule
    from tinyrefinery.training.loop import fit as train_network
    from tinyrefinery.training.parameter_groups import build as build_optimizer

__version__ = "0.1.0"

# Where each public name lives. Type checkers and `__all__` have lists of their own, since both
# want literals. A test compares the three.
_HOME = {
    "build_loss": "tinyrefinery.losses:build",
    "build_optimizer": "tinyrefinery.training.parameter_groups:build",
    "build_schedule": "tinyrefinery.training.learning_rates:build",
    "bundle": "tinyrefinery.deploy.bundle.bundling:write_bundle",
    "create_model": "tinyrefinery.models:create",
    "exit_code": "tinyrefinery.data_tests.verdicts:exit_code",
    "export": "tinyrefinery.api:export",
    "fine_tune": "tinyrefinery.api:fine_tune",
    "fit": "tinyrefinery.api:fit",
    "foretell_cost": "tinyrefinery.device.foretell:foretell_cost",
    "held_out": "tinyrefinery.networks.held_out:held_out",
    "label_form": "tinyrefinery.labels.store.encodings:choose",
    "load_batches": "tinyrefinery.data.batches:load",
    "load_network": "tinyrefinery.models.network_file:load_network",
    "load_recipe": "tinyrefinery.recipe.load:load_recipe",
    "model_card": "tinyrefinery.api:model_card",
    "open_data": "tinyrefinery.data.open:open_data",
    "open_network": "tinyrefinery.networks.opening:open_network",
    "open_network_data": "tinyrefinery.networks.network_data:open_network_data",
    "open_networks": "tinyrefinery.networks.opening:open_networks",
    "predict": "tinyrefinery.prediction.predict_pictures:predict",
    "predict_rows": "tinyrefinery.evaluation.predictions:predict",
    "refine": "tinyrefinery.api:refine",
    "run_tests": "tinyrefinery.data_tests.session:run_tests",
    "save_network": "tinyrefinery.models.network_file:save_network",
    "shuffled": "tinyrefinery.data.batches:shuffled",
    "split_batches": "tinyrefinery.data.batches:split_batches",
    "train": "tinyrefinery.api:train",
    "train_network": "tinyrefinery.training.loop:fit",
    "AdamW": "tinyrefinery.options.optimizers:AdamW",
    "Center": "tinyrefinery.options.crops:Center",
    "Chain": "tinyrefinery.execution.chain:Chain",
    "Cosine": "tinyrefinery.options.schedules:Cosine",
    "CropLabels": "tinyrefinery.labels.crop_labels:CropLabels",
    "CrossEntropy": "tinyrefinery.options.losses:CrossEntropy",
    "Dataset": "tinyrefinery.data.dataset:Dataset",
    "Engine": "tinyrefinery.options.engine:Engine",
    "Generation": "tinyrefinery.execution.chain:Generation",
    "GivenLabels": "tinyrefinery.labels.policy:GivenLabels",
    "Inception": "tinyrefinery.options.crops:Inception",
    "Kl": "tinyrefinery.options.losses:Kl",
    "LabelStore": "tinyrefinery.labels.store.store:LabelStore",
    "Network": "tinyrefinery.networks.network:Network",
    "RefinedLabels": "tinyrefinery.labels.policy:RefinedLabels",
    "Refiner": "tinyrefinery.labels.refiner:Refiner",
    "RefineryError": "tinyrefinery.errors:RefineryError",
    "Refining": "tinyrefinery.options.labels:Refining",
    "SmoothedLabels": "tinyrefinery.labels.policy:SmoothedLabels",
    "StoredLabels": "tinyrefinery.labels.store.reader:StoredLabels",
    "Training": "tinyrefinery.training.job:Training",
    "TrainingOptions": "tinyrefinery.options.training:TrainingOptions",
    "View": "tinyrefinery.data.batches:View",
}

__all__ = [
    "AdamW",
    "Center",
    "Chain",
    "Cosine",
    "CropLabels",
    "CrossEntropy",
    "Dataset",
    "Engine",
    "Generation",
    "GivenLabels",
    "Inception",
    "Kl",
    "LabelStore",
    "Network",
    "RefinedLabels",
    "Refiner",
    "RefineryError",
    "Refining",
    "SmoothedLabels",
    "StoredLabels",
    "Training",
    "TrainingOptions",
    "View",
    "build_loss",
    "build_optimizer",
    "build_schedule",
    "bundle",
    "create_model",
    "exit_code",
    "export",
    "fine_tune",
    "fit",
    "foretell_cost",
    "held_out",
    "label_form",
    "load_batches",
    "load_network",
    "load_recipe",
    "model_card",
    "open_data",
    "open_network",
    "open_network_data",
    "open_networks",
    "predict",
    "predict_rows",
    "refine",
    "run_tests",
    "save_network",
    "shuffled",
    "split_batches",
    "train",
    "train_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tinyrefinery' has no attribute '{name}'")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
