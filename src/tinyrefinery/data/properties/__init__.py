"""What an image measures: size, contrast, sharpness, file format."""
