"""From a trained network to the device."""
