"""Select images for people, and record what they decide."""
