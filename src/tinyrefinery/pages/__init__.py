"""What all pages and terminal tables share: numbers, tables, plots, templates, pictures."""
