"""`tinyrefinery verify`: an artifact is unchanged, and predicts here what it predicted before."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.errors import CHECK_FAILED


def verify(
    artifact: Annotated[Path, typer.Argument(help="File that `tinyrefinery export` wrote.")],
) -> None:
    """Check an exported artifact and replay its test vectors.

    Exits with 1 if the predictions differ.
    """
    from tinyrefinery.deploy.export import verification

    found = verification.verify(artifact)
    streams.echo(
        f"{artifact}: {'PASS' if found.passed else 'FAIL'}. {found.record['bytes']:,} bytes with "
        f"the recorded SHA-256. {found.n} test vectors: probabilities differ by at most "
        f"{found.difference:.2g} (tolerance {found.tolerance:.2g}), same class for "
        f"{found.same_class}"
    )
    if not found.passed:
        raise typer.Exit(CHECK_FAILED)
