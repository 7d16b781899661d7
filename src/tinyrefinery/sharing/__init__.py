"""Model card, bill of materials, and a folder or hub repository with all that belongs to both."""
