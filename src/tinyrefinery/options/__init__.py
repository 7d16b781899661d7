"""Every option of a recipe, declared once: its name, type, range, default and meaning. No torch.

A recipe is made of these parts, and the objects that do the work take the same parts.
"""
