"""What a network costs on a device, from its LiteRT file or foretold: bytes, memory, products."""
