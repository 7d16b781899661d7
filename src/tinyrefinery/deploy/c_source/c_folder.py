"""The files of an artifact in C, and what is stated of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.deploy.c_source.c_network import Description, c_name, network_files
from tinyrefinery.deploy.integer.integer_lowering import plan_network
from tinyrefinery.deploy.integer.layers import Plan
from tinyrefinery.deploy.integer.memory_plan import plan_memory

ENDING = "-c"
"""Of a folder's name, after that of the artifact."""


@dataclass(frozen=True)
class CSources:
    """Sources that are not written yet."""

    name: str
    """A C identifier, the first part of all names."""
    files: dict[str, str] = field(repr=False)
    """Texts by file name."""
    plan: Plan = field(repr=False)
    arena: int
    """Bytes of static memory."""


def sources_folder(artifact: Path) -> Path:
    """Where the sources of an artifact go by default: beside it, named after it."""
    return artifact.with_name(f"{artifact.stem}{ENDING}")


def make_sources(
    artifact: Path,
    record: Mapping[str, Any],
    images: np.ndarray,
    *,
    picture: str = "",
    parity: str = "",
) -> CSources:
    """The sources of an int8 LiteRT file.

    Args:
        artifact: the file.
        record: what was recorded of it: `version`, `network`, `sha256`, `input`, `classes`.
        images: (n, H, W, C) of the check, as the file takes them.
        picture: how a picture becomes an image, for people.
        parity: how the network was checked, for people.

    Raises:
        CheckpointError: if the file is damaged.
        DataError: if it can't be written in C; the message names what is missing.
    """
    plan = plan_network(artifact)
    about = Description(
        title=f"Written by Tiny Refinery {record['version']} from {artifact.name}",
        network=record["network"],
        file=artifact.name,
        sha256=record["sha256"],
        input=record["input"],
        classes=record.get("classes") or (),
        picture=picture,
        parity=parity,
    )
    name = c_name(artifact.stem.removesuffix(".int8"))
    files = network_files(plan, name, about, images)
    return CSources(name, files, plan, plan_memory(plan).bytes)
