"""Compose the project's config the way the scripts do."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.hydra_version import VERSION_BASE

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.fixture(scope="session")
def compose_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., DictConfig]]:
    """Return a function that composes configs/train.yaml with overrides; runs go to a temporary folder."""
    runs_dir = tmp_path_factory.mktemp("runs")
    with initialize_config_dir(str(CONFIGS), **VERSION_BASE):

        def composed(*overrides: str, config_name: str = "train") -> DictConfig:
            extra = [f"runs_dir={runs_dir}"] if config_name == "train" else []
            return compose(config_name, overrides=[*extra, *overrides])

        yield composed


def options(group: str) -> list[str]:
    """Return the names of the files in a folder of configs/."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def summary_of(cfg: DictConfig) -> dict[str, Any]:
    """Return what the summary.json of a run says."""
    return json.loads((Path(cfg.run_dir) / "summary.json").read_text())
