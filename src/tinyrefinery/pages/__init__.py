"""Shared parts of pages and terminal tables: numbers, tables, plots, templates, pictures."""
