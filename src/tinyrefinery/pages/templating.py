"""Jinja templates of the pages, with escaping and strict names."""

from pathlib import Path

import jinja2

_HERE = Path(__file__).parent / "templates"


def template(name: str, *folders: Path) -> jinja2.Template:
    """Load a page's template.

    Args:
        name: file name of the template.
        *folders: folders to search for it and its includes, before the folder of shared templates.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
