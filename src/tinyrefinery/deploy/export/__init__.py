"""From a trained network to an artefact for a device: written, measured against torch, kept."""
