"""The review page: served live, or as one static file that offers its decisions for download."""

import json
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from tinyrefinery.pages.templating import template
from tinyrefinery.review.queue_pictures import STATIC_LONGEST, Pictures
from tinyrefinery.review.reviewing import Review

_HERE = Path(__file__).parent / "templates"


def live_page() -> str:
    """The page that loads its state from the server."""
    return _render("null")


def static_page(review: Review, pictures: Pictures) -> str:
    """The page with all pictures embedded. It loads nothing and offers decisions for download.

    Args:
        review: the review. Tasks that are already decided are left out.
        pictures: pictures of the queue.
    """
    state = review.state()
    done = {int(place) for place in state["decided"]}
    left = [place for place in range(len(review.tasks)) if place not in done]
    content = {
        **state,
        "file": "",
        "decided": {},
        "items": [state["items"][place] for place in left],
    }
    for place, item in zip(left, content["items"], strict=True):
        uid = review.tasks[place].item.uid
        item["uid"] = uid
        for kind in ("seen", "source"):
            item[kind] = _data_uri(*pictures.encoded(uid, kind, STATIC_LONGEST))
    return _render(json.dumps(content, ensure_ascii=False))


def _data_uri(mime_type: str, content: bytes) -> str:
    return f"data:{mime_type};base64,{b64encode(content).decode()}"


def _render(state: str) -> str:
    """Render the page with its state as JSON. `<` would end the script element early."""
    safe = state.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    page = template("review.html.j2", _HERE)
    return page.render(state=safe, script=_script(), policy=content_policy(embedded=True))


@lru_cache
def _script() -> str:
    return (_HERE / "review.js").read_text("utf-8")


@lru_cache
def content_policy(*, embedded: bool = False) -> str:
    """The content security policy: the page may load its own pictures and this one script.

    Args:
        embedded: whether it is for a `<meta>` element, where frames can't be forbidden.
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
