"""Pages of one HTML file: a template with its parts put in, a policy that admits no other scripts, and the data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from workbench.base.shipped import shipped_asset
from workbench.timeline.columns import text as writable

# Within <script> only these could end it or begin a comment; the separators end a line of JavaScript.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src {connect}; "
    "base-uri 'none'; form-action 'none'"
)


def page_html(name: str, record: Mapping[str, Any], *, connect: str = "'none'") -> str:
    """A page, whole.

    Args:
        name: of the template, `dashboards/<name>.html`.
        record: the data that its script draws.
        connect: what the script may fetch from, as a policy has it.
    """
    template = re.sub(r"\{\{([a-z]+\.(?:css|js|html))\}\}", _asset, _read(f"{name}.html"))
    hashes = {tag: _hash_of(tag, template) for tag in ("script", "style")}
    template = template.replace("{{policy}}", _POLICY.format(**hashes, connect=connect), 1)
    # The data last: nothing in it can then stand for a placeholder.
    return template.replace("{{data}}", embedded(record), 1)


def embedded(value: Any) -> str:
    """JSON that can stand in a <script> of an HTML page, whatever its strings hold."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A file's name can hold half of a surrogate pair, which has no UTF-8.
    return writable(re.sub("[<>&\u2028\u2029]", lambda found: _ESCAPES[found[0]], text))


def _asset(found: re.Match[str]) -> str:
    return _read(found[1]).rstrip("\n")


def _read(name: str) -> str:
    return shipped_asset(name).read_text(encoding="utf-8")


def _hash_of(tag: str, template: str) -> str:
    """What the policy admits: the one script and the one style sheet of the template, as they are."""
    found = re.search(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    content = found[1] if found else ""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
