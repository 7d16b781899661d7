"""Near copies of images: candidates by low frequencies, confirmed by aligned fine detail."""
