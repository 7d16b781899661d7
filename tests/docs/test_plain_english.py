"""What a person reads is plain English: none of the words that make a reader stop.

`PATTERNS` lists the words with the better wording, `SCANNED` the pages, `SOURCES` the package's
files, `READERS` how each kind of file is read. CONTRIBUTING.md, "How we write", has the reasons.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = [ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG")]
SCANNED = [*HOUSE, *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = ROOT / "src" / "tinyrefinery"
SOURCES = [path for kind in ("*.py", "*.j2", "*.js") for path in sorted(PACKAGE.rglob(kind))]
SEEDS = ("other mates",)  # random numbers are drawn by them: another word draws other numbers
WORD_LIST = "## How we write"  # the section that has to name the words

PATTERNS = (
    # (pattern, better, an example that it must find)
    # Words
    (r"\bmend(s|ed|ing)?\b", "fix", "a user can mend them"),
    (r"\bby heart\b", "memorized", "it knows crops by heart"),
    (r"\b(its|their) like\b", "a network of the same architecture", "refined by its like"),
    (r"\bmates?\b", "the other crops in the BN group", "a crop's batch mates"),
    (r"\bdear\b", "expensive", "looks are dear"),
    (r"\bsurest\b", "most confident", "its surest mistakes"),
    (r"\bcarv(e|es|ed|ing)\b", "split off", "splits are carved"),
    (r"\b(lay|lays|laid) (it |them )?over\b", "apply to", "an overlay laid over the data"),
    (r"\bwhoever\b", "you, anyone who", "whoever has ImageNet"),
    (r"\bone's own\b", "your own", "votes of one's own"),
    (r"\bthe obvious way\b", "the obvious implementation", "against the obvious way"),
    (r"\bon the wall\b", "in wall-clock time", "two seconds on the wall"),
    (r"\ba word (about|on)\b", "a note on", "a word about speed"),
    (r"\bpeople's (labels?|votes?|words?)\b", "human labels, votes", "against people's votes"),
    (r"\bimages that measure\b", "evaluation images", "images that measure were seen"),
    (r"\bcomes? to terms with\b|\bcame to terms with\b", "fit", "never came to terms with it"),
    (r"\bgiv(e|es|ing) [\w ]{1,20} away\b", "predict", "properties that give a class away"),
    (r"\b(only|for|every) so many\b", "that many", "keep only so many images"),
    # Phrases
    (r"\b(goes|gone) on\b", "resumes, continues", "the same command goes on when asked"),
    (r"\b(goes?|gone|going) round\b", "repeat the cycle", "made good by going round"),
    (r"\bto be had\b", "available", "the file is not to be had"),
    (r"\bto be seen\b", "visible", "no gain is to be seen"),
    (r"\b(is|are|was) said of\b", "the verdict on", "what is said of a refiner"),
    (r"\bwho (is|are|was) to learn\b", "the student", "ahead of who is to learn"),
    (r"\bis to learn from\b", "learns from", "the network that is to learn from it"),
    (r"\b(otherwise|other) than in\b", "different from", "what is otherwise than in the post"),
    (r"\b(is|are) no law\b", "does not always help", "refining is no law"),
    (r"\bfor want of\b", "for lack of", "for want of time"),
    (r"\b(stands?|stood) (in|at|below|beside|there|under)\b", "is in", "it stands in a file"),
    (r"\banew\b", "again", "measured anew"),
    (r"\bthe very (same|images|data|network)", "the same", "on the very images"),
    (
        r"(?<!there )\bis no (?!(longer|more|less|faster|slower|better|worse|larger|smaller|proof|"
        r"evidence)\b)\w+",
        "is not a",
        "this is no run folder",
    ),
    (r"\bthat (is|are) there already\b", "existing", "a file that is there already"),
    # Tools and networks are not people
    (r"\b(speaks?|spoke|speaking)\b", "contradicts, supports", "it speaks against it"),
    (r"\btold\b(?! apart)", "reported, listed, given", "every faulty box is told"),
    (
        r"\b(networks?|refiners?|models?|tools?|commands?|audits?|tests?|reports?|pages?|tables?)"
        r" (says?|sees?|tells?|thinks?|believes?|wants?)\b",
        "predicts, reports, lists, measures",
        "what the network sees",
    ),
    # "Per", not "a"
    (r"\b(a|one) (dot|line|row|file|number|panel|process|crop|job) an? \w+", "per", "a dot a seed"),
    (
        r"\b(bytes|images|crops|steps|seconds|minutes|core-ms|core-time) an? "
        r"(label|crop|sample|image|step|epoch|seed|core-second|second|core|row|class)\b",
        "per",
        "ten bytes a label",
    ),
    # American spelling
    (r"\bgrey", "gray, grayscale", "grey images"),
    (r"\bcolour", "color", "random colour changes"),
    (r"\blabell(ed|ing|er|ers)\b(?!\.py)", "labeled, labeling, labeler", "crops are labelled"),
    (r"\bcentre\b", "center", "the centre of the image"),
    (r"\blicence\b", "license", "the licence"),
    (r"\bneighbour", "neighbor", "its nearest neighbours"),
    (r"\bbehaviour", "behavior", "that behaviour"),
    (r"\bdata sets?\b", "dataset", "opening a data set"),
)


Texts = Iterator[tuple[int, str]]
"""Number of the first line, and one or more lines."""


def markdown(text: str) -> Texts:
    """Each line that a person reads and a person wrote.

    Generated tables are left out, and so is the section that has to name the words. Code between
    backticks, targets of links and `:::` directives are names, not prose. Fenced blocks stay: they
    quote messages.
    """
    generated = listed = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            listed = line == WORD_LIST
        if line.startswith("<!-- results:"):
            generated = True
        if not (generated or listed or line.startswith("::: ")):
            yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", "``", line)
        if line.startswith("<!-- /results"):
            generated = False


def python(text: str) -> Texts:
    """The docstrings, comments and messages of a module.

    Code between backticks is left out. Strings without a space are names, not prose.
    """
    for number, part in (*_comments(text), *_strings(ast.parse(text))):
        if " " in part:
            yield number, re.sub(r"`[^`]*`", "``", part)


def _comments(text: str) -> Texts:
    """Comments, with those on consecutive lines as one."""
    block: list[str] = []
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != start + len(block):
                yield start, "\n".join(block)
                block, start = [], token.start[0]
            block.append(token.string.lstrip("# "))
    yield start, "\n".join(block)


def _strings(node: ast.AST) -> Texts:
    """String literals. What an f-string fills in becomes `{}`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if node.value not in SEEDS:
            yield node.lineno, node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        yield node.lineno, "".join(map(str, parts))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _strings(part.value)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def template(text: str) -> Texts:
    """An HTML template without styles and Jinja's code, or the whole of a script."""
    hidden = r"<style.*?</style>|\{[%{#].*?[%}#]\}"
    yield 1, re.sub(hidden, lambda part: "\n" * part[0].count("\n"), text, flags=re.DOTALL)


READERS: dict[str, Callable[[str], Texts]] = {
    ".md": markdown,
    ".py": python,
    ".j2": template,
    ".js": template,
}


def findings(path: Path, text: str) -> list[str]:
    """One message per word that has a better one: place, word, remedy."""
    place = path.relative_to(ROOT).as_posix()
    found = []
    for number, part in READERS[path.suffix](text):
        # A phrase may go over the end of a line. Lines keep their numbers.
        part = re.sub(r"[^\S\n]*\n[^\S\n]*", "\n", part)
        for pattern, better, _ in PATTERNS:
            for match in re.finditer(pattern, part.replace("\n", " "), re.IGNORECASE):
                line = number + part.count("\n", 0, match.start())
                found.append(f"{place}:{line}: '{match[0]}': write: {better}")
    return found


@pytest.mark.parametrize("path", SCANNED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_is_plain_english(path):
    found = findings(path, path.read_text("utf-8"))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_messages_docstrings_and_comments_are_plain_english(path):
    found = findings(path, path.read_text("utf-8"))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(("pattern", "better", "example"), PATTERNS)
def test_each_pattern_finds_its_example_and_not_its_remedy(pattern, better, example):
    assert re.search(pattern, example, re.IGNORECASE)
    assert not re.search(pattern, better, re.IGNORECASE)


def test_a_finding_names_place_word_and_remedy():
    page, module = ROOT / "docs" / "x.md", ROOT / "src" / "x.py"
    assert findings(page, "One.\nMend it.") == ["docs/x.md:2: 'Mend': write: fix"]
    source = '''"""One thing.

    Another is not to
    be had.
    """
mend = ["mend", f"{mend}: mend it"]  # `mend`
# It is known by
# heart.
'''
    assert findings(module, source) == [
        "src/x.py:7: 'by heart': write: memorized",
        "src/x.py:3: 'to be had': write: available",
        "src/x.py:6: 'mend': write: fix",
    ]


def test_a_template_is_read_without_styles_and_code():
    page = ROOT / "src" / "x.html.j2"
    text = "<style>\n.mend {}\n</style>\n{% if mend %}<p>{{ mend }} by\n heart</p>{# mend #}"
    assert findings(page, text) == ["src/x.html.j2:4: 'by heart': write: memorized"]


def test_what_is_not_prose_is_left_out():
    page = """Read [this](mend.md) and `mend`.
<!-- results:demo -->
| by its like |
<!-- /results -->
## How we write
| mend | fix |
## Next
::: package.mend
```
mend it
```"""
    assert [line for _, line in markdown(page)] == [
        "Read [this`` and ``.",
        "## Next",
        "```",
        "mend it",
        "```",
    ]


def test_the_word_list_exists_once():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert text.splitlines().count(WORD_LIST) == 1
