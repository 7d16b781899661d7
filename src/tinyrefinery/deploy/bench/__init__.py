"""Time networks on this machine, side by side."""
