"""What to export a network to, and how."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from tinyrefinery.deploy.export.artifact_facts import INSIDE, METADATA
from tinyrefinery.deploy.export.parity import MAX_DROP
from tinyrefinery.deploy.export.sample_images import CALIBRATE
from tinyrefinery.errors import CheckpointError, RecipeError, look_up
from tinyrefinery.files import check_writable
from tinyrefinery.networks.network import Network
from tinyrefinery.options.budget import Budget

TARGETS: dict[str, str] = {
    "onnx": ".onnx",
    "litert": ".tflite",
    "executorch": ".pte",
    "c": ".c",
    "packed": ".packed",
}
"""Formats, and how the names of their files end. C sources are written of an int8 LiteRT file."""
LIMITED = ("litert", "packed")
"""Formats whose cost on a device is known."""


@dataclass(frozen=True)
class ExportOptions:
    """What to export a network to, and how."""

    targets: tuple[str, ...] = ("onnx",)
    """Of `TARGETS`."""
    int8: bool = False
    """Whether to quantize; else artifacts are float."""
    out: Path = Path("exports")
    """Folder for the artifacts."""
    preprocessing: str = INSIDE
    """`INSIDE`, or `METADATA` to leave normalization to the caller."""
    max_drop: float = MAX_DROP
    """Allowed drop of int8 accuracy in percentage points."""
    calibrate: int = CALIBRATE
    """Most calibration images."""
    budget: Budget = field(default_factory=Budget)
    """Most that a LiteRT or packed artifact may cost. Where it has no limit, an int8 artifact has
    that of the recipe."""
    explain: bool = False
    """Whether to list what int8 costs each layer."""
    keep_float: int = 0
    """Layers to keep in float where int8 is not proven to keep the accuracy; 0: none. Not for
    ExecuTorch."""
    keep_16bit: int = 0
    """Layers with 16-bit activations where int8 is not proven to keep the accuracy; 0: none. For
    LiteRT only."""
    fine_tune: int = 0
    """Epochs of fine-tuning where int8 is not proven to keep the accuracy; 0: none."""


def with_precision(options: ExportOptions) -> ExportOptions:
    """The options, with int8 where only C sources are wanted: they have no other precision.

    Raises:
        RecipeError: if other targets are to be float.
    """
    if options.int8 or "c" not in options.targets:
        return options
    if set(options.targets) != {"c"}:
        raise RecipeError("--to c is int8: add --int8 for all targets, or export C by itself")
    return replace(options, int8=True)


def check_export(network: Network, options: ExportOptions) -> None:
    """Refuse wrong options before the work starts.

    Raises:
        RefineryError: if the options contradict each other, or don't fit the network.
    """
    for target in options.targets:
        look_up("target", target, TARGETS)
    look_up("preprocessing", options.preprocessing, dict.fromkeys((INSIDE, METADATA)))
    if not options.targets or len(set(options.targets)) < len(options.targets):
        raise RecipeError(f"name each target once, e.g. --to {' --to '.join(TARGETS)}")
    if not network.is_torch:
        raise CheckpointError(
            f"{network.file}: was exported already. Name the run or the network file that it was "
            "made from"
        )
    if options.budget and not {*LIMITED, "c"} & set(options.targets):
        raise RecipeError(
            "--flash, --ram, --macs and --cycles limit LiteRT and packed artifacts: add --to "
            "litert or --to packed, or leave them out"
        )
    if options.budget.cycles is not None and not options.int8:
        raise RecipeError("a budget of cycles limits int8 artifacts: add --int8, or leave it out")
    if options.explain and not options.int8:
        raise RecipeError("--explain lists what int8 costs each layer: add --int8")
    if options.fine_tune:
        if not options.int8:
            raise RecipeError("--fine-tune fits the weights to int8: add --int8")
        from tinyrefinery.deploy.export.fine_tuning import check_fine_tuning

        check_fine_tuning(network)
    _check_kept(options)
    if options.keep_float and "c" in options.targets:
        raise RecipeError("--to c writes whole numbers only: leave --keep-float out")
    check_writable(folders=[options.out])


def _check_kept(options: ExportOptions) -> None:
    """Refuse layers that no target can keep in the wanted precision."""
    if options.int8 and "packed" in options.targets:
        raise RecipeError(
            "--to packed keeps binary layers in bits and the others in float: leave --int8 out, "
            "and export to C or int8 separately"
        )
    for option, count in (("float", options.keep_float), ("16bit", options.keep_16bit)):
        if count and not options.int8:
            raise RecipeError(f"--keep-{option} is about int8: add --int8, or leave it out")
    if options.keep_16bit and options.targets != ("litert",):
        raise RecipeError(
            "--keep-16bit is for LiteRT only, whose kernels compute with 16-bit activations: "
            "export to litert alone, or leave it out"
        )
    if options.keep_float and "executorch" in options.targets:
        raise RecipeError(
            "--keep-float is not available for ExecuTorch: export to onnx or litert, or leave it "
            "out"
        )
