"""From trained networks with binary or lookup layers to packed ones."""
