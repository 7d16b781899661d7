"""Networks from outside a recipe as refiners: frozen, and checked to label the data's classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tinyrefinery.builders.networks import FrozenNetwork
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import CheckpointError, RecipeError
from tinyrefinery.labels.class_map import ClassMap, Names, names_of, read_class_map
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.timm_weights import OUTPUTS, load_timm, timm_class_names
from tinyrefinery.options.labels import Refined


def frozen_network(
    network: Network,
    dataset: Dataset,
    size: tuple[int, int] | None = None,
    *,
    classes: Mapping[str, str] | None = None,
    least_mass: float = 1.0,
) -> FrozenNetwork:
    """A network that labels a dataset's crops.

    Args:
        network: what `open_network` gave.
        dataset: whose classes and channels it must have. Of a timm model whose class names aren't
            known, only the number of classes is compared.
        size: height and width of the crops in pixels, for models that are built for one size;
            None: the size that the network was trained at.
        classes: of a network with other classes, which of them stand for which of the data's, see
            `labels.class_map.read_class_map`; None: it must have the data's.
        least_mass: see `labels.class_map.ClassMap`.

    Raises:
        CheckpointError: when it is unreadable, or has other classes or channels.
        RecipeError: when `classes` names a class that isn't there.
    """
    info = network.info
    class_map = fit_classes(network, dataset, classes, least_mass)
    if network.kind == "timm":
        return _timm(network, dataset, size, class_map)
    check_channels(network, dataset)
    return FrozenNetwork(network.load(), info.mean, info.std, info.classes, info.size, class_map)


def fit_classes(
    network: Network, dataset: Dataset, classes: Mapping[str, str] | None, least_mass: float
) -> ClassMap | None:
    """Which of a network's classes stand for which of the data's; None: they are the same.

    Args:
        network: what `open_network` gave. Its weights are not read.
        dataset: see `frozen_network`.
        classes: see `frozen_network`.
        least_mass: see `labels.class_map.ClassMap`.

    Raises:
        CheckpointError: when it has other classes and `classes` is None.
        RecipeError: when `classes` names a class that isn't there.
    """
    if classes is None or _has_classes_of(network, dataset):
        _check_classes(network, dataset)
        return None
    return read_class_map(
        classes, class_names(network), dataset.classes, least_mass, network.source
    )


def check_channels(network: Network, dataset: Dataset) -> None:
    """Refuse a network that takes images of other channels; a model of timm takes any.

    Raises:
        CheckpointError: when they differ.
    """
    channels = network.info.channels
    if network.kind != "timm" and channels != dataset.images.channels:
        raise CheckpointError(
            f"{_place(network)}: takes images of {channels} channels, but dataset "
            f"'{dataset.name}' has {dataset.images.channels}. Set data.source.channels={channels}"
        )


def check_class_maps(
    stage: str,
    part: Refined,
    maps: Sequence[ClassMap | None],
    classes: Sequence[str],
    *,
    unlabelled: bool,
) -> None:
    """Refuse a map that leaves labels open, or that no refiner of a stage needs.

    Args:
        stage: its id.
        part: its labels.
        maps: of its refiners from outside.
        classes: the data's.
        unlabelled: whether pictures without labels are trained on.

    Raises:
        RecipeError: if that is so.
    """
    missing = {number for one in maps if one is not None for number in one.unreached}
    if unlabelled and missing:
        names = ", ".join(classes[number] for number in sorted(missing))
        raise RecipeError(
            f"stages.{stage}.labels.classes: no class of a refiner stands for {names}, but "
            "pictures of data.unlabelled may show it. Map a class to it, or remove data.unlabelled"
        )
    if part.classes is not None and not any(maps):
        raise RecipeError(
            f"stages.{stage}.labels.classes: every refiner has the data's classes already. "
            "Remove it"
        )


def _place(network: Network) -> str:
    return network.source if network.kind == "http" else str(network.file)


def class_names(network: Network) -> list[Names]:
    """All names of each class of a network: wnids and nouns where it was trained on ImageNet."""
    if network.info.classes or network.kind != "timm":
        return names_of(network.info.classes)
    return timm_class_names(network.info.name, network.info.extra[OUTPUTS])


def _has_classes_of(network: Network, dataset: Dataset) -> bool:
    """Whether a network's outputs are the data's classes, as far as that can be known."""
    return network.info.classes == dataset.classes


def _check_classes(network: Network, dataset: Dataset) -> None:
    """Refuse a network whose classes aren't the data's.

    Raises:
        CheckpointError: when they differ in number, name or order.
    """
    theirs, ours = network.info.classes, dataset.classes
    if network.kind == "timm":
        outputs = network.info.extra[OUTPUTS]
        if outputs != len(ours):
            raise CheckpointError(
                f"labels.by '{network.source}': is pretrained for {outputs} classes, but dataset "
                f"'{dataset.name}' has {len(ours)}. Map them with labels.classes, or fine-tune it "
                f"in a stage of its own (model: {{name: {network.source}, kwargs: "
                "{pretrained: true}}) and let that stage refine"
            )
        return
    remedy = (
        "A refiner must have the same classes in the same order, or labels.classes must map them"
    )
    if len(theirs) != len(ours):
        raise CheckpointError(
            f"{_place(network)}: has {len(theirs)} classes, but dataset '{dataset.name}' has "
            f"{len(ours)}. {remedy}"
        )
    for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
        if one != other:
            raise CheckpointError(
                f"{_place(network)}: its class {number} is '{one}', but in dataset "
                f"'{dataset.name}' it is '{other}'. {remedy}"
            )


def _timm(
    network: Network,
    dataset: Dataset,
    size: tuple[int, int] | None,
    class_map: ClassMap | None,
) -> FrozenNetwork:
    """A pretrained model of timm, built for the data's images."""
    info = replace(network.info, channels=dataset.images.channels, size=size or network.info.size)
    classes = info.classes if class_map else dataset.classes
    return FrozenNetwork(load_timm(info), info.mean, info.std, classes, info.size, class_map)
