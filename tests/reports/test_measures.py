"""The table of measures."""

import pytest
from rich.console import Console

from tests.reports.fake_run import evaluation, write_fake_run
from tinyrefinery.reports.measures import measure_table
from tinyrefinery.runs.run_folder import open_run


@pytest.mark.parametrize(("classes", "shown"), [(3, False), (5, False), (6, True), (0, True)])
def test_top_5_is_shown_only_where_it_can_be_wrong(tmp_path, classes, shown):
    run = open_run(write_fake_run(tmp_path / "demo", seeds=(0,), epochs=1))
    measured = {}
    for stage in run.stages:
        found = evaluation(stage.stage, stage.seed)
        found["test"]["top1_interval"] = (0.7, 0.8)
        measured[stage.key] = found | {"per_category": found["per_category"][:classes]}
    console = Console(width=80, record=True)
    console.print(measure_table(run.stages, measured, "test"))
    text = console.export_text()
    assert ("top-5" in text) == shown
    assert "ECE" in text
