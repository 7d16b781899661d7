"""Variance of feature maps per image (arXiv 2107.11170, Table 5).

Bias Loss weights crops by the variance of their feature map over channels and positions. The paper
also compares networks by it: many different features give a high variance.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyrefinery.data.batches import View, load
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.layers.modes import evaluation_mode
from tinyrefinery.losses.bias import variances

LAST = "features"
"""The last feature maps before pooling and dropout, which Bias Loss uses."""
CONV = "conv:"
"""Begins the name of a convolution by its number: `conv:5` is the fifth, as in the paper."""


def feature_variances(
    network: nn.Module,
    view: View,
    rows: np.ndarray,
    layers: tuple[str, ...] = (LAST,),
    *,
    batch_size: int = 256,
    workers: int = 0,
) -> dict[str, np.ndarray]:
    """Measure the unbiased variance of each image's feature map, by layer.

    The network runs in evaluation mode, without gradients, and is returned to its previous mode.
    Crops are those of epoch 0, as in `predict`. Variances have the units of the layers, so two
    networks are as comparable as their activations are.

    Args:
        network: has `forward_features` and `forward_head`, on the view's device.
        view: renders the images.
        rows: (N,) manifest rows.
        layers: `features`, names of modules as in `named_modules`, e.g. `blocks.3`, or `conv:5` for
            the fifth convolution in that order. If a module runs several times per image, its last
            output counts.
        batch_size: images per forward pass. It only affects memory and time.
        workers: threads that prepare the images.

    Returns:
        (N,) float64 per layer, in the order of `rows`.

    Raises:
        DataError: when there is no such layer, or its output is not a map of two or more numbers.
    """
    parts: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    with evaluation_mode(network), _recording(network, layers) as latest, torch.inference_mode():
        for batch in load(view, batches, 0, workers=workers):
            maps = network.forward_features(batch.images)  # type: ignore[operator]
            latest[LAST] = _variances(LAST, maps)
            network.forward_head(maps)  # type: ignore[operator]
            for layer in layers:
                parts[layer].append(_checked(layer, latest.pop(layer, None), len(batch.rows)))
    return {
        layer: np.concatenate([np.empty(0), *values]).astype(np.float64)
        for layer, values in parts.items()
    }


def summary(values: np.ndarray) -> dict[str, Any]:
    """`n`, `mean`, `max` and `min` as in the paper's Table 5, and `std`, `p5`, `median`, `p95`.

    Raises:
        DataError: without values.
    """
    if not len(values):
        raise DataError("variances: there are no images in this split")
    p5, median, p95 = np.percentile(values, [5, 50, 95])
    return {
        "n": len(values),
        "mean": float(values.mean()),
        "max": float(values.max()),
        "min": float(values.min()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "p5": float(p5),
        "median": float(median),
        "p95": float(p95),
    }


def _variances(layer: str, output: Any) -> np.ndarray:
    if not isinstance(output, Tensor) or output.ndim < 2 or output[:1].numel() < 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise DataError(
            f"layer '{layer}' returns {shape}, not maps of two or more numbers per image: choose "
            "another layer"
        )
    return variances(output).cpu().numpy()


def _checked(layer: str, values: np.ndarray | None, count: int) -> np.ndarray:
    if values is None:
        raise DataError(f"layer '{layer}' is not used in the forward pass: choose another layer")
    if len(values) != count:
        raise DataError(
            f"layer '{layer}' returns {len(values)} maps for {count} images: choose another layer"
        )
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise DataError(
            f"layer '{layer}': {wrong} of {count} variances are not finite: the network's weights "
            "or activations overflow"
        )
    return values


@contextmanager
def _recording(network: nn.Module, layers: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
    """Record the variances of the layers' latest outputs, by name, while the network runs."""
    modules = dict(network.named_modules())
    convs = [module for module in modules.values() if isinstance(module, nn.Conv2d)]
    modules |= {f"{CONV}{number}": module for number, module in enumerate(convs, start=1)}
    latest: dict[str, np.ndarray] = {}
    handles = []
    try:
        for layer in layers:
            if layer == LAST:
                continue
            if layer not in modules or layer == "":
                names = [name for name in modules if name and not name.startswith(CONV)]
                if layer.startswith(CONV):
                    raise DataError(f"no layer '{layer}': choose {CONV}1 to {CONV}{len(convs)}")
                top = [name for name in names if "." not in name]
                raise DataError(
                    f"no layer is named '{layer}'.{did_you_mean(layer, names)} Layers: {LAST}, "
                    f"{', '.join(top)}, and the {len(names) - len(top)} modules inside them."
                )

            def record(module: nn.Module, inputs: Any, output: Any, name: str = layer) -> None:
                # Compute at once: the next layer may change the output in place, e.g. a ReLU.
                latest[name] = _variances(name, output)

            handles.append(modules[layer].register_forward_hook(record))
        yield latest
    finally:
        for handle in handles:
            handle.remove()
