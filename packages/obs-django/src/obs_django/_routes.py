"""The template of a route, as people write it: without regular expressions."""

import re
from functools import lru_cache
from typing import Final

_NOISE: Final = re.compile(r"[\\^$(\[|*+?{]")
_TOKEN: Final = re.compile(
    r"""
    \\[AbBzZ] | [\^$] | \(\?(?:[aiLmsux-]+|\#[^)]*|P=\w+)\)                  # places, flags, comments
  | (?P<wild> (?: \\[dDwWsS] | \[\^?\]?(?:\\.|[^\]\\])*\] | \.(?=[*+{]) ) )   # some character
  | (?: [*+?] | \{\d*,?\d*\} ) [+?]?                                          # how often
  | \\(?P<escaped>.)
  | \(\?P<(?P<name>\w+)>
  | (?P<around> \(\?<?[=!] )
  | (?P<plain> \(\?(?:[aiLmsux-]*:|>) )
  | (?P<group> \( )
  | (?P<end> \) )
  | (?P<either> \| )
  | (?P<text> <[^<>]*> | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_SHOWN: Final = {"around": "", "plain": None, "group": "<var>"}


@lru_cache(maxsize=4096)
def template(route: str) -> str:
    """The path template of a `ResolverMatch.route`: `orders/<int:order_id>` is `/orders/<int:order_id>`, and
    `^orders/(?P<order_id>[0-9]+)/?$` is `/orders/<order_id>/`. What has no name is `<var>`.
    """
    return "/" + (_simplified(route) if _NOISE.search(route) else route).removeprefix("/")


def _simplified(route: str) -> str:
    parts: list[str] = []
    groups: list[tuple[str | None, int]] = []  # what is shown for it (None: its content), where it began
    for token in _TOKEN.finditer(route):
        kind = token.lastgroup
        if kind == "wild":
            parts.append("<var>")
        elif kind in {"text", "escaped"}:
            parts.append(token[kind])
        elif kind == "name":
            groups.append((f"<{token['name']}>", len(parts)))
        elif kind in _SHOWN:
            groups.append((_SHOWN[kind], len(parts)))
        elif kind == "either" and groups and groups[-1][0] is None:
            groups[-1] = ("<var>", groups[-1][1])
        elif kind == "either" and not groups:
            parts.append("|")
        elif kind == "end" and groups:
            shown, begun = groups.pop()
            if shown is not None:
                parts[begun:] = [shown]
    return "".join(parts)
