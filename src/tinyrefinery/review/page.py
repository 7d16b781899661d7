"""The review page: served live, or as one file that is taken along and brings decisions back."""

import json
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from tinyrefinery.pages.templating import template
from tinyrefinery.review.queue_pictures import TAKEN_ALONG, Pictures
from tinyrefinery.review.reviewing import Review

_HERE = Path(__file__).parent / "templates"


def live_page() -> str:
    """The page that asks the server for its state."""
    return _rendered("null")


def static_page(review: Review, pictures: Pictures) -> str:
    """The page with all its pictures; it loads nothing and offers its decisions for download.

    Args:
        review: whose tasks are on it; what was decided before is left out.
        pictures: of its queue.
    """
    state = review.state()
    done = {int(place) for place in state["decided"]}
    left = [place for place in range(len(review.tasks)) if place not in done]
    content = {**state, "decided": {}, "items": [state["items"][place] for place in left]}
    for place, shown in zip(left, content["items"], strict=True):
        uid = review.tasks[place].item.uid
        kinds = ("seen", "source")
        shown |= {"uid": uid} | {
            kind: _data(*pictures.encoded(uid, kind, TAKEN_ALONG)) for kind in kinds
        }
    return _rendered(json.dumps(content, ensure_ascii=False))


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _rendered(state: str) -> str:
    """The template around a state in JSON; `<` would end the script element early."""
    safe = state.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    page = template("review.html.j2", _HERE)
    return page.render(state=safe, script=_script(), policy=content_policy(embedded=True))


@lru_cache
def _script() -> str:
    return (_HERE / "review.js").read_text("utf-8")


@lru_cache
def content_policy(*, embedded: bool = False) -> str:
    """What the page may load: pictures of its own, and the one script that it was written with.

    Args:
        embedded: for a `<meta>` element, which can't forbid frames.
    """
    digest = b64encode(sha256(f"\n{_script()}".encode()).digest()).decode()
    parts = [
        "default-src 'none'",
        "img-src 'self' data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(parts if embedded else [*parts, "frame-ancestors 'none'"])
