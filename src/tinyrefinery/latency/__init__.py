"""How long networks take on this machine: of runs, of files, and of any known name."""
