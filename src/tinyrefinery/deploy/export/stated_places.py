"""Write into a LiteRT file where its activations lie in memory, for microcontrollers.

LiteRT for Microcontrollers then places them so instead of planning. Other runtimes pass over it.
"""

from pathlib import Path
from typing import Any

from ai_edge_litert.schema_py_generated import Model

from tinyrefinery.device.layout import with_places
from tinyrefinery.device.litert_graph import PLACES, read_graph

_HEADER = 3
"""Numbers before the places."""


def state_places(path: Path) -> None:
    """Fill in the places for which a file has room, see `PLACES`."""
    places = with_places(read_graph(path)).places
    content = bytearray(path.read_bytes())
    model = Model.GetRootAs(content)
    for entry in map(model.Metadata, range(model.MetadataLength())):
        if entry is not None and entry.Name() == PLACES:
            buffer: Any = model.Buffers(entry.Buffer())
            numbers = buffer.DataAsNumpy().view("<i4")  # the bytes of the file themselves
            for tensor, place in places.items():
                numbers[_HEADER + tensor] = place
    path.write_bytes(content)
