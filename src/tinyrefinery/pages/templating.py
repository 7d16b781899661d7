"""Jinja templates of the pages: escaped, strict about names, the shared styles beside them."""

from pathlib import Path

import jinja2

_HERE = Path(__file__).parent / "templates"


def template(name: str, *folders: Path) -> jinja2.Template:
    """A page's template.

    Args:
        name: of its file.
        *folders: where it and its includes lie, besides the folder of what all pages share.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
