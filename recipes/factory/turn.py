"""A whole turn of the cycle on data with planted faults: every step is a command, and is printed.

python turn.py [--out factory] [--seed 0] [--budget 300] [--smoke]

train -> test -> audit -> mine -> review -> apply -> train again -> compare. The one step that is
no command is the review: `oracle.py` stands for the person. See docs/factory.md.
"""

import argparse
import shlex
from pathlib import Path

from typer.main import get_command

from tinyrefinery.cli.main import app

HERE = Path(__file__).parent
RECIPE, TESTS = HERE / "cycle.yaml", HERE / "data_tests.yaml"
SUSPECTS = ("label_suspect=0.9", "random=0.1", "failed_test=0", "disagreement=0", "shortcut=0")
"""The audit found labels that look wrong, and a shortcut that no image at hand contradicts."""
REMEDY = "data.color={brightness: 0.7}"
"""What the audit says of the shortcut: vary the property in training."""
SMALL = ("train=400", "validation=100", "test=300", "rare_class=20")
"""Of --smoke: does every step work?"""


def call(*words: object, fine: tuple[int, ...] = (0,)) -> None:
    """Print a command and run it; stop when its exit code is none of `fine`."""
    line = [str(word) for word in words]
    print(f"\n$ tinyrefinery {shlex.join(line)}", flush=True)
    code = get_command(app).main(line, prog_name="tinyrefinery", standalone_mode=False) or 0
    if code not in fine:
        raise SystemExit(code)


def changes(seed: int, *, smoke: bool) -> list[str]:
    """Overrides of the recipe: the seed of scenes and training, and a small form."""
    small = [f"data.source.{each}" for each in SMALL] + ["stages.plain.epochs=2"]
    return [f"seed={seed}", f"data.source.seed={seed}", *(small if smoke else [])]


def first_half(out: Path, seed: int = 0, *, smoke: bool = False) -> None:
    """Train on the data as it is, test, audit."""
    call("run", RECIPE, *changes(seed, smoke=smoke), "--runs", out, "--name", "before")
    call("test", out / "before", TESTS, "--html", out / "before.html", fine=(0, 1))
    call("audit", out / "before", "--out", out / "audit", fine=(0, 1))


def mended(out: Path) -> list[str]:
    """What the audit's findings ask for, besides a look at labels."""
    leaks = out / "audit" / "leaks.txt"
    return [REMEDY, *([f"data.source.exclude={leaks}"] if leaks.exists() else [])]


def decisions(out: Path, name: str, budget: int, shares: tuple[str, ...] = SUSPECTS) -> Path:
    """Mine, review, apply: an overlay of decisions."""
    from oracle import decide

    queue, said = out / f"{name}.queue.jsonl", out / f"{name}.decisions.jsonl"
    overlay = out / name / "decisions.jsonl"
    wanted = [word for share in shares for word in ("--share", share)]
    run = out / "before"
    call("mine", run, "--tests", TESTS, "--budget", budget, *wanted, "-o", queue)
    looked, changed = decide(queue, said)
    print(f"\n$ python {HERE / 'oracle.py'} {queue} {said}     # a person: tinyrefinery review")
    print(f"{looked} decisions, {changed} of them another label")
    overlay.unlink(missing_ok=True)
    call("apply", said, "--overlay", overlay, "--slices", out / name / "slices")
    return overlay


def second_half(
    out: Path, overlay: Path | None, seed: int = 0, name: str = "after", *, smoke: bool = False
) -> None:
    """Train on what was mended, test, and tell which tests moved."""
    given = [*changes(seed, smoke=smoke), *mended(out)]
    given += [f"data.source.overlay={overlay}"] if overlay is not None else []
    call("run", RECIPE, *given, "--runs", out, "--name", name)
    page, before, after = out / f"{name}.html", out / "before", out / name
    reports = ("--baseline", before, "--history", before, "--html", page)
    call("test", after, TESTS, *reports, fine=(0, 1))
    call("compare", before, after, "--tests", TESTS, "--html", out / "moved.html")


def main() -> None:
    """The turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("factory"), help="folder for everything")
    parser.add_argument("--seed", type=int, default=0, help="of scenes and training")
    parser.add_argument("--budget", type=int, default=300, help="human decisions")
    parser.add_argument("--smoke", action="store_true", help="small: does every step work?")
    given = parser.parse_args()
    budget = 20 if given.smoke else given.budget
    first_half(given.out, given.seed, smoke=given.smoke)
    overlay = decisions(given.out, "labels", budget)
    second_half(given.out, overlay, given.seed, smoke=given.smoke)


if __name__ == "__main__":
    main()
