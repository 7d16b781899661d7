"""Files of data tests to start from."""

from pathlib import Path

from tinyrefinery.errors import DataTestError
from tinyrefinery.names import nearest

HERE = Path(__file__).parent / "templates"


def template_names() -> list[str]:
    """Names of the templates."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def template_text(name: str) -> str:
    """The text of a template.

    Raises:
        DataTestError: when there is none of that name.
    """
    names = template_names()
    if name not in names:
        raise DataTestError(
            f"no template is named '{name}'.{nearest(name, names)} Known: {', '.join(names)}"
        )
    return (HERE / f"{name}.yaml").read_text("utf-8")
