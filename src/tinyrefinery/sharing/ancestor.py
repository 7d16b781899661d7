"""A network behind another one: what is recorded of it."""

from dataclasses import dataclass

from tinyrefinery.sharing.licenses import NOBODYS, License

REFINER, START = "refiner", "start"


@dataclass(frozen=True)
class Ancestor:
    """A network that another one learned from or started from."""

    ref: str
    """Identifies it: its SHA-256, or its name where that is not known."""
    name: str
    """For people."""
    role: str
    """`REFINER`, or `START` for a network whose weights training started from."""
    of: str
    """`ref` of the network that learned or started from it; empty: the described network."""
    model: str = ""
    """Its architecture; empty where unknown."""
    labels: str = ""
    """What it learned from; empty where unknown."""
    origin: str = ""
    """Where it comes from, e.g. `run teacher`."""
    sha256: str = ""
    """Of its file; empty where there is none."""
    license: License = NOBODYS
    data: str = ""
    """Digest of the images it was trained on, the first 16 digits; empty where unknown."""
    data_license: License = NOBODYS
    images_known: bool = False
    """Whether a record lists the images that it, and all behind it, were trained on."""
