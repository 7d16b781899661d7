"""Run artifacts on emulated processors, by LiteRT for Microcontrollers built from source."""
