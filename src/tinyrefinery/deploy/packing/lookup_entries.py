"""A trained lookup convolution as the words that it uses and the entries of a packed step."""

import numpy as np

from tinyrefinery.layers.lookup import LookupConv2d, SparseConv2d
from tinyrefinery.packed.program import lookup_arrays


def lookup_entries(
    layer: LookupConv2d | SparseConv2d,
) -> tuple[SparseConv2d, np.ndarray, dict[str, np.ndarray]]:
    """The form of a layer, its words (k, C) float32, and the arrays of its step.

    Words that no filter uses are left out, so that they are neither stored nor computed.
    """
    form = layer.lookup() if isinstance(layer, LookupConv2d) else layer
    starts, words, places, weights, dictionary = (
        each.detach().cpu().numpy()
        for each in (form.starts, form.words, form.places, form.values, form.dictionary)
    )
    used, numbers = np.unique(words, return_inverse=True)
    dictionary = dictionary[used if len(used) else [0]].astype(np.float32)
    arrays = lookup_arrays(starts, numbers, places, weights, len(dictionary))
    if form.bias is not None:
        arrays["shift"] = form.bias.detach().cpu().numpy().astype(np.float32)
    return form, dictionary, arrays
