"""Any model of timm, with our interface. timm is imported only when a model is built."""

from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from tinyrefinery.errors import CheckpointError, RecipeError, did_you_mean
from tinyrefinery.layers.modes import output_shapes
from tinyrefinery.models.image_network import ImageNetwork

TIMM = "timm:"
"""Prefix of the names of timm's models."""

Layout = Literal["map", "channels_last", "tokens"]
"""(B, C, h, w), (B, h, w, C) or (B, N, C)."""


class _Timm(Protocol):
    """The interface of timm's models that we use."""

    def forward_features(self, x: Tensor) -> Any: ...
    def forward_head(self, x: Any) -> Tensor: ...


class TimmNetwork(ImageNetwork):
    """A timm model whose features are maps (B, C, h, w).

    Channels-last features are permuted. Tokens (B, N, C) become a map of h x w = N if the model
    has a grid and no class or register tokens. Otherwise they become a single column (B, C, N, 1),
    prefix tokens first. Both keep all values, so `forward_head(forward_features(x))` is the model's
    original output.

    Args:
        network: a timm model with `forward_features` and `forward_head`.
        layout: layout of its features.
        grid: rows and columns of its tokens, or None.
    """

    def __init__(
        self, network: nn.Module, layout: Layout, grid: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.layout = layout
        self.grid = grid

    def forward_features(self, x: Tensor) -> Tensor:
        """The model's last features before pooling, as maps (B, C, h, w)."""
        features = cast(_Timm, self.network).forward_features(x)
        if self.layout == "tokens":
            count = features.shape[1]
            fits = self.grid is not None and self.grid[0] * self.grid[1] == count
            grid = self.grid if fits else (count, 1)
            return features.transpose(1, 2).unflatten(2, grid)  # (B, N, C) -> (B, C, h, w)
        return features.permute(0, 3, 1, 2) if self.layout == "channels_last" else features

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits (B, K) from the maps of `forward_features`."""
        if self.layout == "tokens":
            features = features.flatten(2).transpose(1, 2)
        elif self.layout == "channels_last":
            features = features.permute(0, 2, 3, 1)
        return cast(_Timm, self.network).forward_head(features)


def timm_network(
    name: str, classes: int, *, size: tuple[int, int], channels: int = 3, **options: Any
) -> nn.Module:
    """Build timm's model `name`, e.g. "resnet18d" or "vit_tiny_patch16_224.augreg_in21k".

    Models with a fixed image size (transformers) are built for `size`.

    Args:
        name: a name from `timm.list_models()`, with or without a tag of weights.
        classes: K.
        size: height, width of the images in pixels.
        channels: 1 or 3; timm sums or repeats pretrained filters to fit.
        options: passed on to `timm.create_model`, e.g. `pretrained=True`, `drop_path_rate=0.1`.

    Raises:
        RecipeError: if timm isn't installed, has no such model, or can't build it.
        CheckpointError: if the pretrained weights are not available.
    """
    try:
        import timm
    except ImportError as error:
        raise RecipeError(
            f"model '{TIMM}{name}' needs timm, which isn't installed: pip install timm"
        ) from error
    plain = name.split(".")[0]
    if ":" not in name and not timm.is_model(plain):
        names = timm.list_models()
        raise RecipeError(
            f"timm has no model named '{name}'.{did_you_mean(plain, names)} "
            f"timm.list_models() lists its {len(names)} models."
        )
    if ":" not in name and _has_fixed_size(plain):
        options.setdefault("img_size", size)
    try:
        network = timm.create_model(name, num_classes=classes, in_chans=channels, **options)
        features = output_shapes(_Features(network), (1, channels, *size))
    except (TypeError, ValueError, AssertionError, RuntimeError, OSError) as error:
        if options.get("pretrained"):
            plain_options = {key: value for key, value in options.items() if key != "pretrained"}
            with torch.device("meta"):  # raises where the size or another option is at fault
                timm_network(name, classes, size=size, channels=channels, **plain_options)
            raise CheckpointError(_no_weights(name, error)) from error
        raise RecipeError(
            f"timm can't build '{name}' for {size[0]}x{size[1]} pixels, {channels} channels and "
            f"options {options or 'none'}: {error}"
        ) from error
    return TimmNetwork(network, _layout(name, network, features), _grid(network))


def _no_weights(name: str, error: Exception) -> str:
    """Where pretrained weights come from, and what to type where they are not available."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    place = getattr(config, "hf_hub_id", None) or getattr(config, "url", None)
    source = f"https://huggingface.co/{place}" if place and "://" not in place else place
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if not source:
        return f"{TIMM}{name}: timm has no pretrained weights of this model. Set pretrained: false"
    return (
        f"{TIMM}{name}: its pretrained weights are not available ({reason}). Connect to the "
        f"internet once, or download model.safetensors from {source} on another machine and write "
        f"model: {{name: {TIMM}{name}, weights: model.safetensors}} with replace_head: true in the "
        "stage"
    )


class _Features(nn.Module):
    """Outputs the features of a timm model."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return cast(_Timm, self.network).forward_features(x)


def _layout(name: str, network: nn.Module, features: Any) -> Layout:
    if not isinstance(features, Tensor) or features.ndim not in (3, 4):
        raise RecipeError(
            f"timm's '{name}' is not supported: its features are neither maps nor tokens"
        )
    if features.ndim == 3:
        return "tokens"
    return "channels_last" if getattr(network, "output_fmt", "") == "NHWC" else "map"


def _has_fixed_size(name: str) -> bool:
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    return bool(config and config.fixed_input_size)


def _grid(network: nn.Module) -> tuple[int, int] | None:
    """Rows and columns of the tokens; None without a grid or with prefix tokens."""
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if grid is None or getattr(network, "num_prefix_tokens", 0):
        return None
    return (int(grid[0]), int(grid[1]))
