"""Jinja templates of the pages: escaped, strict about names, the shared styles beside them."""

from pathlib import Path

import jinja2

_HERE = Path(__file__).parent / "templates"


def template(name: str, folder: Path | None = None) -> jinja2.Template:
    """A page's template.

    Args:
        name: of its file.
        folder: where it lies; its includes may lie there or with the reports' own templates, which
            is also where it is looked for without a folder.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_HERE] if folder is None else [folder, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
