"""What a network costs on a device, computed from its LiteRT file: bytes, memory and products."""
