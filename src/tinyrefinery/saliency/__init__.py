"""Which pixels drive a model's predictions."""
