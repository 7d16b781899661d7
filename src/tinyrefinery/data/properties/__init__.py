"""Measured properties of images: size, contrast, sharpness, file format."""
