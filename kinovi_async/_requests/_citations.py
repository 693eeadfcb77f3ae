"""Citations in prompts: where `@image1` is allowed, and what it may point at."""

from __future__ import annotations

from ._kinds import Kind
from ._references import Given, citations, dangling
from ._rules import listed, refuse, shorten


def without_citations(prompt: str) -> str:
    """The prompt of a mode without references; raises PydanticCustomError for a citation."""
    cited = [each.text for each in citations(prompt)]
    if cited:
        allowed = 'text without @ references, which only mode "reference" (OmniReference) has'
        raise refuse(allowed, shorten(", ".join(dict.fromkeys(cited))))
    return prompt


def checked_citations(prompt: str, given: Given) -> str:
    """The prompt, when what it cites is given; raises PydanticCustomError otherwise."""
    lost = dangling(prompt, given)
    if lost:
        raise refuse(_citable(given), shorten(", ".join(dict.fromkeys(each.text for each in lost))))
    return prompt


def _citable(given: Given) -> str:
    """What a prompt may cite: `only references to what is given: @image1 to @image3, ...`."""
    parts = []
    for kind in Kind:
        most = given.most(kind)
        if most == 1:
            parts.append(f"@{kind}1")
        elif most > 1:
            parts.append(f"@{kind}1 to @{kind}{most}")
    return "@ references to what is given, here " + (listed(parts, "and") if parts else "nothing")
