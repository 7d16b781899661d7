"""The bill of materials that lies beside a network file, read back.

It tells licenses and the networks behind a file that lies in no run. It counts for the file whose
SHA-256 it lists, and for no other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.reading.digests import file_digest
from tinyrefinery.reading.json_text import read_json_object
from tinyrefinery.sharing.ancestor import REFINER, START, Ancestor
from tinyrefinery.sharing.licenses import UNKNOWN, License

BOM = "bom.json"
CARD_FOLDER = "card"
"""In a stage's folder: its card and bill of materials."""
PREFIX = "tinyrefinery:"
"""Of the names of our properties."""
NETWORK, DATA = "machine-learning-model", "data"
"""Types of components."""
EDGES = {REFINER: "refines", START: "starts"}
"""Role of a network -> name of the property that holds the network it has the role for."""


@dataclass(frozen=True)
class BomFacts:
    """What a bill of materials states of its network."""

    file: Path
    name: str
    model: str
    labels: str
    digest: str
    """`Network.digest` when it was described."""
    license: License
    data_license: License
    behind: tuple[Ancestor, ...]


def card_folder(file: Path) -> Path:
    """Folder for the card of a lone network file, beside it: `FILE.card`."""
    return file.with_name(f"{file.name}.card")


def bom_beside(file: Path) -> BomFacts | None:
    """The bill of materials beside a file that lists the file's SHA-256; None without one.

    Raises:
        DataError: if a bill of materials is there and can't be read.
    """
    for folder in (file.parent, file.parent / CARD_FOLDER, card_folder(file)):
        path = folder / BOM
        if not (path.is_file() and file.is_file()):
            continue
        bom = read_json_object(path, "Delete it, or write it again with `tinyrefinery card`.")
        try:
            if file_digest(file) in _digests(bom):
                return _facts(path, bom)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise DataError(
                f"{path}: is not a bill of materials of `tinyrefinery card` ({error}). Delete it, "
                "or write it again"
            ) from error
    return None


def _digests(bom: Mapping[str, Any]) -> set[str]:
    """SHA-256 of the network and of its artifacts."""
    main = bom.get("metadata", {}).get("component", {})
    own = [main, *(each for each in bom.get("components", []) if each.get("type") == "file")]
    return {digest["content"] for each in own for digest in each.get("hashes", [])}


def _facts(path: Path, bom: Mapping[str, Any]) -> BomFacts:
    main, others = bom["metadata"]["component"], bom.get("components", [])
    data = {each["bom-ref"]: each for each in others if each["type"] == DATA}
    own_data = f"{DATA}:{_property(main, 'data')}"
    networks = [each for each in others if each["type"] == NETWORK]
    return BomFacts(
        file=path,
        name=main["name"],
        model=_property(main, "model"),
        labels=_property(main, "labels"),
        digest=_property(main, "digest"),
        license=_license(main),
        data_license=_license(data.get(own_data, {})),
        behind=tuple(a for each in networks for a in _ancestors(each, main["bom-ref"], data)),
    )


def _ancestors(
    component: Mapping[str, Any], main: str, data: Mapping[str, Any]
) -> Iterator[Ancestor]:
    """A network that is listed, once for every network that it refined or started."""
    digest = _property(component, "data")
    for role, name in EDGES.items():
        for of in _properties(component, name):
            yield Ancestor(
                ref=component["bom-ref"],
                name=component["name"],
                role=role,
                of="" if of == main else of,
                model=_property(component, "model"),
                labels=_property(component, "labels"),
                origin=_property(component, "origin"),
                sha256=next((each["content"] for each in component.get("hashes", [])), ""),
                license=_license(component),
                data=digest,
                data_license=_license(data.get(f"{DATA}:{digest}", {})),
                images_known=_property(component, "images-known") == "true",
            )


def _license(component: Mapping[str, Any]) -> License:
    """The license of a component; "unknown" is none."""
    for each in component.get("licenses", []):
        name = each["license"].get("id") or each["license"].get("name", "")
        if name and name != UNKNOWN:
            return License(name, _property(component, "license-by") or BOM)
    return License()


def _properties(component: Mapping[str, Any], name: str) -> list[str]:
    listed = component.get("properties", [])
    return [str(each["value"]) for each in listed if each["name"] == PREFIX + name]


def _property(component: Mapping[str, Any], name: str) -> str:
    return next(iter(_properties(component, name)), "")
