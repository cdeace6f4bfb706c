"""Where two configs of a run differ."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Keys that say where a run is and what is looked at, not what it is.
WHERE = {"name", "runs_dir", "run_dir", "overwrite", "checks", "intended"}

# Keys that say where the data are: split_sha256 tells whether they are still the same.
PLACE = re.compile(r"data\.(.+[._])?(root|path|dir|folder|file)s?")


def differences(before: DictConfig, now: DictConfig) -> dict[str, str]:
    """Return a line for each key whose value has changed, by the key."""
    old, new = flat(OmegaConf.to_container(before)), flat(OmegaConf.to_container(now))
    changed = [key for key in old | new if old.get(key) != new.get(key) and key.partition(".")[0] not in WHERE]
    return {key: f"{key}: {old.get(key)!r} in the folder, {new.get(key)!r} now" for key in changed}


def flat(node: Any, key: str = "") -> dict[str, Any]:
    """Return the values of nested dicts by their dotted keys."""
    if not isinstance(node, dict) or not node:
        return {key: node}
    inside = (flat(child, f"{key}.{name}" if key else str(name)) for name, child in node.items())
    return {name: value for values in inside for name, value in values.items()}
