"""Hold the source to its size budget: files of 400 lines and functions of 60 at most."""

import ast
import sys
from pathlib import Path

FILE_LINES, FUNCTION_LINES = 400, 60
FOLDERS = ("src", "tests", "tools", "benchmarks", "recipes")


def main() -> int:
    """Print the totals; return 1 when something is over the budget."""
    over, files, lines = [], 0, 0
    for path in sorted(each for folder in FOLDERS for each in Path(folder).rglob("*.py")):
        text = path.read_text()
        files, lines = files + 1, lines + text.count("\n")
        if text.count("\n") > FILE_LINES:
            over.append(f"{path}: {text.count(chr(10))} lines (at most {FILE_LINES})")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    over.append(f"{path}:{node.lineno} {node.name}: {length} lines")
    print(f"{files} files, {lines} lines in {', '.join(FOLDERS)}")
    print("\n".join(over))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
