"""Where two configs of a run differ."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

WHERE = {"name", "runs_dir", "run_dir", "overwrite"}  # keys that say where a run is, not what it is


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
