"""The command writes the page, the CSV and the table."""

import subprocess
import sys

import typer
from typer.testing import CliRunner

from tests.reports.fake_run import write_fake_run
from tinyrefinery.cli.report import report

app = typer.Typer()
app.command()(report)


def test_report(tmp_path):
    run = write_fake_run(tmp_path / "demo")
    result = CliRunner().invoke(app, [str(run), "--out", str(tmp_path / "out.html")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.html").stat().st_size > 50_000
    assert "refined over compact: +" in result.output
    assert "Report:" in result.output


def test_a_report_elsewhere_leaves_the_run_as_it_is(tmp_path):
    run = write_fake_run(tmp_path / "demo")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    out = tmp_path / "elsewhere" / "out.html"
    out.parent.mkdir()
    result = CliRunner().invoke(app, [str(run), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert (out.parent / "plots" / "gain.svg").exists()
    result = CliRunner().invoke(app, [str(run)])
    assert result.exit_code == 0, result.output
    assert (run / "results.csv").exists()
    assert (run / "plots" / "gain.svg").exists()


def test_report_needs_no_torch(tmp_path):
    write_fake_run(tmp_path / "demo")
    code = (
        "import sys; from pathlib import Path; from tinyrefinery.cli.report import report;"
        f"report([Path({str(tmp_path / 'demo')!r})]); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
