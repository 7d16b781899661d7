"""Saliency: which pixels drive a model's predictions."""
