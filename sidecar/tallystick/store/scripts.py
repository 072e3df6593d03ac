"""The scripts: `lua/NAME.lua` with the shared parts it includes, and its SHA-1."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

INCLUDE = re.compile(r"^ *-- include (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One atomic operation, in the store's language."""

    name: str
    source: str
    sha: str


@cache
def load_script(name: str) -> Script:
    """The script of this name, its includes written in."""
    folder = files("tallystick.store") / "lua"

    def parts(match: re.Match[str]) -> str:
        return "\n".join(whole(part) for part in match[1].split())

    def whole(part: str) -> str:
        return INCLUDE.sub(parts, (folder / f"{part}.lua").read_text())

    source = whole(name)
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
