"""Write a planned network as C99: a source file with its runtime, a header, a check, a Makefile."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tinyrefinery.deploy.c_source.c_text import c_comment, c_numbers, c_string
from tinyrefinery.deploy.c_source.layer_text import LayerText, array_text, layer_text
from tinyrefinery.deploy.integer.integer_run import run_plan
from tinyrefinery.deploy.integer.layers import Convolution, Layer, Plan
from tinyrefinery.deploy.integer.memory_plan import MemoryPlan, plan_memory

_FOLDER = Path(__file__).parent
_C_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "float32": "float"}
_TOLERANCES = {"float32": "1e-6"}
"""Of the check: additions of float32 may be ordered or fused otherwise by a compiler."""
_KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void
volatile while
"""


@dataclass(frozen=True)
class Description:
    """What the files state of a network."""

    title: str
    network: str
    file: str
    """The LiteRT file that it was made from."""
    sha256: str
    input: str
    """What the input's numbers are, for people."""
    classes: Sequence[str] = ()
    picture: str = ""
    """How a picture becomes an image, for people."""
    parity: str = ""
    """How the network was checked, for people."""


def c_name(text: str) -> str:
    """A C identifier like a text."""
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_") or "network"
    return f"network_{name}" if name[0].isdigit() or name in _KEYWORDS.split() else name


def network_files(
    plan: Plan,
    name: str,
    about: Description,
    images: np.ndarray,
    expected: np.ndarray | None = None,
) -> dict[str, str]:
    """Texts of the files by name.

    Args:
        plan: the network.
        name: a C identifier, the first part of all names.
        about: what the files state.
        images: (n, H, W, C) of the check, of the network's input type.
        expected: (n, outputs) of the check; None: what NumPy computes.
    """
    memory = plan_memory(plan)
    texts = [layer_text(layer, number) for number, layer in enumerate(plan.layers)]
    height, width, channels = plan.input_shape
    facts: dict[str, Any] = {
        **vars(about),
        **{"name": name, "macro": name.upper(), "guard": f"{name.upper()}_H_"},
        **{"height": height, "width": width, "channels": channels, "outputs": plan.outputs},
        **{"input_scale": plan.input_scale, "input_zero": plan.input_zero},
        **{"output_scale": plan.output_scale, "output_zero": plan.output_zero},
        "input_type": _C_TYPES[plan.input_type],
        "output_type": _C_TYPES[plan.output_type],
        "tolerance": _TOLERANCES.get(plan.output_type, "0"),
        "arena": memory.bytes,
        "kernels": _kernels(texts),
        "constants": _constants(plan, texts),
        "calls": [
            _call(plan, memory, step, layer, text)
            for step, (layer, text) in enumerate(zip(plan.layers, texts, strict=True))
        ],
        "inputs": images.reshape(len(images), -1),
        "expected": run_plan(plan, images) if expected is None else expected,
    }
    templates = {f"{name}.h": "network.h", f"{name}.c": "network.c"}
    templates |= {f"{name}_check.c": "check.c", "Makefile": "Makefile", "README.md": "README.md"}
    return {file: _text(template, facts) for file, template in templates.items()}


def _kernels(texts: Sequence[LayerText]) -> str:
    """The runtime: each function that a layer needs, once."""
    names = dict.fromkeys(["base", *(name for text in texts for name in text.kernels)])
    return "\n".join((_FOLDER / "kernels" / f"{name}.c").read_text("utf-8") for name in names)


def _constants(plan: Plan, texts: Sequence[LayerText]) -> str:
    arrays = [array_text(f"constant_{n}", values) for n, values in plan.constants.items()]
    return "\n".join([*arrays, *(text.constants for text in texts if text.constants)])


def _call(plan: Plan, memory: MemoryPlan, step: int, layer: Layer, text: LayerText) -> str:
    pointers = [_pointer(plan, memory, number) for number in (*layer.inputs, layer.output)]
    if isinstance(layer, Convolution) and not layer.is_depthwise:
        start = memory.scratch.get(step)
        pointers.append("NULL" if start is None else f"memory + {start}")
    return f"{text.function}({', '.join((*text.arguments, *pointers))});"


def _pointer(plan: Plan, memory: MemoryPlan, number: int) -> str:
    if number == plan.input:
        return "(const int8_t *)image" if plan.input_type == "uint8" else "image"
    if number == plan.output:
        return "(int8_t *)outputs" if plan.output_type == "uint8" else "outputs"
    return f"constant_{number}" if number in plan.constants else f"memory + {memory.starts[number]}"


def _text(template: str, facts: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    helpers: dict[str, Callable[..., str]] = {
        "numbers": c_numbers,
        "string": c_string,
        "comment": c_comment,
    }
    return environment.get_template(template).render(**facts, **helpers)
