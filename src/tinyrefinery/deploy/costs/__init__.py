"""What networks cost layer by layer: parameters, bytes, products and memory, without a device."""
