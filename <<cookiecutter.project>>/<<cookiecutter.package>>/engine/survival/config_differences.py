"""Where two configs of a run differ."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Keys that say where a run is and what is looked at, not what it is.
WHERE = {"name", "runs_dir", "run_dir", "overwrite", "checks", "intended"}


def differences(before: DictConfig, now: DictConfig) -> list[str]:
    """Return a line for each key whose value has changed."""
    return list(compare(plain(before), plain(now), key=""))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return what a config says a run is, without where it is."""
    content: Any = OmegaConf.to_container(cfg)
    return {key: value for key, value in content.items() if key not in WHERE}


def compare(before: Any, now: Any, key: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in before | now:
            yield from compare(before.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif before != now:
        yield f"{key}: {before!r} in the folder, {now!r} now"
