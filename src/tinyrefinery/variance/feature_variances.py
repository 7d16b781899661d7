"""Variance of feature maps, image by image (arXiv 2107.11170, Table 5).

How much a feature map varies over its channels and places is what Bias Loss weights crops by, and
by which the paper compares networks: many unlike features give a high variance.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyrefinery.data.batches import View, load
from tinyrefinery.errors import DataError
from tinyrefinery.layers.modes import evaluation_mode
from tinyrefinery.losses.bias import variances
from tinyrefinery.names import did_you_mean

LAST = "features"
"""Stands for the last feature maps before pooling and dropout, as Bias Loss sees them."""


def feature_variances(
    network: nn.Module,
    view: View,
    rows: np.ndarray,
    layers: tuple[str, ...] = (LAST,),
    *,
    batch_size: int = 256,
    workers: int = 0,
) -> dict[str, np.ndarray]:
    """Unbiased variance of each image's feature map, by layer, (N,) float64 in the order of `rows`.

    The network runs in evaluation mode, without gradients, and is left in the mode it came in.
    Crops are those of epoch 0, as for `predict`. Variances are of the layers' own units, so those
    of two networks can be compared as far as their activations can.

    Args:
        network: has `forward_features` and `forward_head`; on the view's device.
        view: renders the images.
        rows: (N,) manifest rows.
        layers: `features`, or paths of modules, e.g. `blocks.3`, as `named_modules` has them. Of a
            module that runs several times an image the last output counts.
        batch_size: images a forward pass; changes memory and time only.
        workers: threads that prepare the images.

    Raises:
        DataError: when there is no such layer, or its output is no map of two or more numbers.
    """
    found: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    cuts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    with evaluation_mode(network), _watching(network, layers) as seen, torch.inference_mode():
        for batch in load(view, cuts, 0, workers=workers):
            maps = network.forward_features(batch.images)  # type: ignore[operator]
            seen[LAST] = _variances(LAST, maps)
            network.forward_head(maps)  # type: ignore[operator]
            for layer in layers:
                found[layer].append(_checked(layer, seen.pop(layer, None), len(batch.rows)))
    return {
        layer: np.concatenate([np.empty(0), *parts]).astype(np.float64)
        for layer, parts in found.items()
    }


def summary(values: np.ndarray) -> dict[str, Any]:
    """`n`, `mean`, `max` and `min`, the paper's Table 5, and `std`, `p5`, `median`, `p95`.

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
        given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise DataError(
            f"layer '{layer}' gives {given}, not maps of two or more numbers for each image; "
            "name another one"
        )
    return variances(output).cpu().numpy()


def _checked(layer: str, values: np.ndarray | None, count: int) -> np.ndarray:
    if values is None:
        raise DataError(f"layer '{layer}' takes no part in the forward pass; name another one")
    if len(values) != count:
        raise DataError(
            f"layer '{layer}' gives {len(values)} maps for {count} images; name another one"
        )
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise DataError(
            f"layer '{layer}': {wrong} of {count} variances are no numbers; the network's weights "
            "or outputs overflow"
        )
    return values


@contextmanager
def _watching(network: nn.Module, layers: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
    """Variances of what the layers gave last, by name, while the network runs."""
    modules = dict(network.named_modules())
    seen: dict[str, np.ndarray] = {}
    handles = []
    try:
        for layer in layers:
            if layer == LAST:
                continue
            if layer not in modules or layer == "":
                known = [name for name in modules if name]
                top = [name for name in known if "." not in name]
                raise DataError(
                    f"no layer is named '{layer}'.{did_you_mean(layer, known)} Known: {LAST}, "
                    f"{', '.join(top)}, and the {len(known) - len(top)} modules inside them."
                )

            def note(module: nn.Module, given: Any, output: Any, name: str = layer) -> None:
                # At once, as what comes next may work in place (a ReLU after a convolution).
                seen[name] = _variances(name, output)

            handles.append(modules[layer].register_forward_hook(note))
        yield seen
    finally:
        for handle in handles:
            handle.remove()
