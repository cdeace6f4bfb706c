"""Compose the project's config the way the scripts do."""

import functools
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.hydra_version import VERSION_BASE

CONFIGS = Path(__file__).parent.parent / "configs"

# Modules here that make a choice small: they write files for it, or know its overrides.
TINY = [path.stem for path in sorted(Path(__file__).parent.glob("tiny_*.py"))]


@pytest.fixture(scope="session")
def compose_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., DictConfig]]:
    """Return a function that composes configs/train.yaml with overrides; runs go to a temporary folder."""
    runs_dir = tmp_path_factory.mktemp("runs")
    with initialize_config_dir(str(CONFIGS), **VERSION_BASE):

        def composed(*overrides: str, config_name: str = "train") -> DictConfig:
            extra = [f"runs_dir={runs_dir}"] if config_name == "train" else []
            return compose(config_name, overrides=[*extra, *overrides])

        yield composed


@pytest.fixture(scope="session")
def choose(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Return a function that gives the overrides for a choice such as `optimizer=sgd`, its small files included."""

    @functools.cache
    def overrides(choice: str) -> list[str]:
        for tiny in map(import_module, TINY):
            if choice in tiny.CHOICES:
                return tiny.write(choice, tmp_path_factory.mktemp(choice.partition("=")[2]))
        return [choice]

    return overrides


def options(group: str) -> list[str]:
    """Return the names of the files in a folder of configs/."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def summary_of(cfg: DictConfig) -> dict[str, Any]:
    """Return what the summary.json of a run says."""
    return json.loads((Path(cfg.run_dir) / "summary.json").read_text())
