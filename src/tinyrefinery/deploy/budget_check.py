"""Check before training that the networks of a recipe fit their budgets.

The cost is foretold first, which takes a fraction of a second and is never too low. If that is
within the budget, the network fits. If not, the untrained network is converted, for its exact cost.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import torch

from tinyrefinery import builders
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.device.device_cost import DeviceCost, device_cost
from tinyrefinery.device.ethos import cycles_excess
from tinyrefinery.device.excess import Excess, excesses
from tinyrefinery.device.file_form import FileForm, forms_of
from tinyrefinery.device.foretell import NotForetoldError, foretell_within
from tinyrefinery.errors import BudgetError, RefineryError
from tinyrefinery.labels.batch_norm import has_batch_norm, recalibrate
from tinyrefinery.models import create
from tinyrefinery.options.budget import Budget
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage

log = logging.getLogger("tinyrefinery")
_HELP = {
    "flash": "fewer channels (model.kwargs) or another model",
    "ram": "a smaller image (data.train_crop.size), fewer channels or another model",
    "macs": "a smaller image (data.train_crop.size), fewer channels or another model",
    "cycles": "a smaller image (data.train_crop.size), fewer channels or another model",
}
"""What lowers each cost."""
_EXACT = ("macs", "cycles")
"""Costs that are never upper bounds."""


@dataclass(frozen=True)
class _Cost:
    """What a network costs, and whether that is an upper bound."""

    cost: DeviceCost
    is_bound: bool


def check_budgets(recipe: Recipe, data: Dataset, done: Collection[str] = ()) -> None:
    """Refuse a recipe with a network that costs more than its budget.

    Latency is not checked here: `export` measures it.

    Args:
        recipe: the recipe; stages without a budget are passed over.
        data: its dataset, for the number of classes and channels.
        done: ids of stages that are trained already, and not checked.

    Raises:
        BudgetError: naming the stage, what is above its budget, by how much, and what helps.
    """
    for stage in recipe.generations:
        budget = recipe.budget_of(stage.id)
        if budget is None or stage.id in done or not (budget.limits or budget.cycles):
            continue
        found = _foretold(stage, recipe, data, budget)
        above = () if found is None else excesses(budget, found.cost)
        if found is None or any(each.name != "macs" for each in above):
            found = _converted(stage, recipe, data, budget, found)
            above = () if found is None else excesses(budget, found.cost)
        above += _cycles_above(stage, budget, recipe, data)
        if above:
            is_bound = found is not None and found.is_bound
            raise BudgetError(_message(stage, above, recipe, is_bound=is_bound))
        if found is not None:
            what = "at most " if found.is_bound else ""
            cost = found.cost
            log.info(
                f"stage {stage.id}: within its budget, {what}{cost.flash:,} bytes of flash, "
                f"{cost.ram:,} bytes of arena, {cost.macs:,} multiply-accumulates"
            )


def _foretold(stage: Stage, recipe: Recipe, data: Dataset, budget: Budget) -> _Cost | None:
    """An upper bound of the cost; None if there is none."""
    network = builders.skeleton(stage, data, recipe)
    size, channels = recipe.data.train_crop.size, data.images.channels
    try:
        normalization = recipe.data.normalization
        cost = foretell_within(budget, network, size, channels, data.classes, normalization)
        return _Cost(cost, is_bound=True)
    except NotForetoldError:
        return None


def _converted(
    stage: Stage, recipe: Recipe, data: Dataset, budget: Budget, foretold: _Cost | None
) -> _Cost | None:
    """The exact cost of the untrained network, or the bound if it can't be converted."""
    log.info(f"stage {stage.id}: converting the untrained network for its exact cost")
    try:
        return _Cost(_convert(stage, recipe, data, budget), is_bound=False)
    except (RefineryError, ImportError) as error:
        if foretold is None:
            log.warning(
                f"stage {stage.id}: its budget is not checked before training, since it can't be "
                f"converted here ({error}). `tinyrefinery export` checks it"
            )
        return foretold


def _cycles_above(
    stage: Stage, budget: Budget, recipe: Recipe, data: Dataset
) -> tuple[Excess, ...]:
    """The cycles of the converted untrained network, if they are above the budget."""
    if budget.accelerator is None:
        return ()
    log.info(f"stage {stage.id}: converting the untrained network for its cycles")
    try:
        with TemporaryDirectory() as place:
            form = forms_of(budget, *recipe.data.normalization)[0]
            file = _untrained_file(stage, recipe, data, form, Path(place))
            cost, above = cycles_excess(file, budget, log.info)
    except (RefineryError, ImportError) as error:
        log.warning(
            f"stage {stage.id}: its cycles are not checked before training, since they can't be "
            f"estimated here ({error}). `tinyrefinery export` checks them"
        )
        return ()
    if cost is not None and not above:
        log.info(f"stage {stage.id}: {cost.cycles:,} cycles on {cost.accelerator}")
    return above


def _convert(stage: Stage, recipe: Recipe, data: Dataset, budget: Budget) -> DeviceCost:
    """The cost in the first form that keeps the budget, else in the first."""
    costs = []
    for form in forms_of(budget, *recipe.data.normalization):
        with TemporaryDirectory() as place:
            costs.append(device_cost(_untrained_file(stage, recipe, data, form, Path(place))))
        if not excesses(budget, costs[-1]):
            return costs[-1]
    return costs[0]


def _untrained_file(
    stage: Stage, recipe: Recipe, data: Dataset, form: FileForm, folder: Path
) -> Path:
    """The int8 LiteRT file of the untrained network, written to a folder."""
    untrained, exportable = _export_tools()
    size, channels = recipe.data.train_crop.size, data.images.channels
    kwargs = {name: value for name, value in stage.model.kwargs.items() if name != "pretrained"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = create(
            stage.model.name, len(data.classes), size=size, channels=channels, **kwargs
        )
        if has_batch_norm(network):
            recalibrate(network, [torch.randn(4, channels, *size)])
        mean, std = recipe.data.normalization
        module = exportable.Exportable(network.eval(), mean, std, normalize=True)
        file = folder / "untrained.tflite"
        metadata = untrained.METADATA
        untrained.convert_on_noise(
            module, size, channels, f"stage-{stage.id}", (file, metadata), log.info, form
        )
        return file


def _export_tools() -> tuple[ModuleType, ModuleType]:
    """Modules that need the extras of an export."""
    from tinyrefinery.deploy.export import exportable, untrained

    return untrained, exportable


def _message(stage: Stage, above: tuple[Excess, ...], recipe: Recipe, *, is_bound: bool) -> str:
    height, width = recipe.data.train_crop.size
    parts = []
    for each in above:
        bound = "at most " if is_bound and each.name not in _EXACT else ""
        unit = "" if each.name in _EXACT else " bytes"
        verb = "are" if each.name == "cycles" else "is"
        parts.append(
            f"{each.name} {verb} {bound}{each.cost:,}{unit}, {each.by} above the budget of "
            f"{each.limit:,}"
        )
    helps = dict.fromkeys(_HELP[each.name] for each in above)
    text = (
        f"stage {stage.id} ({stage.model.name}, {height}x{width} pixels): {'; '.join(parts)}. "
        f"Nothing was trained. What helps: {'; '.join(helps)}. To compare models: tinyrefinery "
        f"bench {stage.model.name} --size {height}"
    )
    if is_bound and any(each.name not in _EXACT for each in above):
        text += (
            ". The exact cost may be lower. It needs the LiteRT converter: pip install "
            "'tinyrefinery[onnx,litert]'"
        )
    return text
