"""What to do: typed, strict YAML."""
