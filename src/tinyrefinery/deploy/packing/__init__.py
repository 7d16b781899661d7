"""From trained networks with binary layers to packed ones."""
