"""What a run is: its stages and their keys, its folder and every file in it."""
