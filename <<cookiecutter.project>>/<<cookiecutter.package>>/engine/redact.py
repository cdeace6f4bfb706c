"""What is shown to others holds no secret: a password, a token or a key, of the config or of the environment."""

import os
import re
from typing import Any

HIDDEN = "***"
NAME = r"(?:[\w.-]*[_.-])?(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|credentials?)(?:_\w+)?"
# key=value, 'key': value, and the password in the address of a server
GIVEN = re.compile(rf"(?i)(\b{NAME}['\"]?\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s,;&}}\]]+)")
ADDRESS = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
SHORTEST = 6  # characters of a value that is looked for in texts: `true` or `1` would hide half of them


def redacted(node: Any, key: str = "") -> Any:
    """Return plain data without its secrets: what a key says is one, and what equals one of the environment."""
    if isinstance(node, dict):
        return {name: redacted(value, str(name)) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [redacted(value, key) for value in node]
    if node is not None and re.fullmatch(f"(?i){NAME}", key):
        return HIDDEN
    if isinstance(node, str) and not node.startswith("data:"):  # an image
        node = ADDRESS.sub(rf"\1{HIDDEN}@", GIVEN.sub(rf"\1{HIDDEN}", node))
        for secret in of_environment():
            node = node.replace(secret, HIDDEN)
    return node


def of_environment() -> list[str]:
    """Return the values of the environment variables whose names say that they are secret."""
    return [x for name, x in os.environ.items() if len(x) >= SHORTEST and re.fullmatch(f"(?i){NAME}", name)]
