"""The live side's Lua scripts: each file in `lua/` is one atomic operation on Redis."""

from pathlib import Path

from auth.platform.redis.link import RedisLink
from auth.platform.redis.pipe import Script

FOLDER = Path(__file__).parent / "lua"
# Shared functions, prepended to each script.
SHARED = "append"


def load(link: RedisLink, name: str) -> Script:
    """The script `lua/<name>.lua`; calling it raises the same errors as `RedisLink.execute`."""
    return Script(link.execute, "\n".join((FOLDER / f"{part}.lua").read_text() for part in (SHARED, name)))
