"""The keys of a config and what they may be: said before torch is loaded."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from glob import glob
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.targets import fits, mismatch

# The keys of train.yaml and evaluate.yaml that are one value. Whatever else you write goes under `own`, for ${own.x}.
VALUES = {"name": str | None, "seed": int | None, "run": str | None, "runs_dir": str, "run_dir": str, "test": bool}
VALUES |= {"checkpoint": str | None, "optimizer_state": bool, "threads": int | None, "monitor": str | None}
VALUES |= {"overwrite": bool, "intended": list, "mode": Literal["auto", "min", "max"], "split": Literal["test", "val"]}
VALUES |= {"checks": Literal["error", "warn", "skip"], "matmul_precision": Literal["highest", "high", "medium"]}

# Those of predict.yaml, export.yaml and report.yaml: a config that has all of one is that script's.
PREDICTION = {"input": str | list | None, "output": str | None, "top": int | None, "batch_size": int | None}
PREDICTION |= {"calibrate": bool}
EXPORT = {"format": Literal["onnx", "pt2"], "output": str | None, "tolerance": float}
REPORT = {"filter": str | None, "sort": str | None, "lines": int}

REQUIRED = ("data", "model", "trainer")
BLOCKS = (*REQUIRED, "loss", "optimizer", "scheduler")  # a `_target_` and its arguments
MAPS = ("callbacks", "logger", "metrics")  # of blocks, by names of your choice
FILES = ("path", "test_path", "predict_path")  # of data
ENDINGS = (".csv", ".parquet", ".jsonl")  # of predictions
FRACTIONS = ("val_fraction", "test_fraction")  # of data


def check_config(cfg: DictConfig) -> None:
    """Raise ConfigError for the first key that nobody reads and the first value that cannot be right.

    A path that begins with `~` gets the home folder.
    """
    cfg.merge_with(at_home(OmegaConf.to_container(cfg)))
    try:
        plain: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:  # an interpolation to nowhere, a value that is still ???
        raise ConfigError(f"{error.full_key}: {str(error.msg).partition(chr(10))[0]}") from error
    values = dict(VALUES)
    for keys in (PREDICTION, EXPORT, REPORT):
        values |= keys if keys.keys() <= plain.keys() else {}
    for key, value in plain.items():
        if key not in {*values, *BLOCKS, *MAPS, "own"}:
            raise ConfigError(f"{no_key(key, plain)}\nA value of your own belongs under `own`, as +own.{key}=...")
        if key in values and (not fits(value, values[key]) or value == ""):
            raise ConfigError(mismatch(key, value, values[key]))
    for key in (*BLOCKS, *MAPS):
        check_map(key, plain.get(key), plain, of_blocks=key in MAPS)
    if twice := [key for key in ("callbacks", "logger") if key in (plain.get("trainer") or {})]:
        raise ConfigError(f"{twice[0]} has two places, trainer.{twice[0]} and {twice[0]}: use the second")
    if not re.fullmatch(r"\w[\w.-]*", plain.get("name") or "unnamed"):
        raise ConfigError(f"name must be one folder of letters, digits, '_', '-' and '.', got {plain['name']!r}")
    if (tolerance := plain.get("tolerance", 1.0)) <= 0:
        raise ConfigError(f"tolerance must be above 0, got {tolerance}")
    if plain.get("optimizer_state") and not plain["checkpoint"]:
        raise ConfigError("optimizer_state=true needs checkpoint=, the file that holds it")
    check_files(plain)


def check_map(key: str, node: Any, plain: dict[str, Any], *, of_blocks: bool = False) -> None:
    """Raise ConfigError for what stands among blocks and is none: its name is misspelt."""
    if node is not None and not isinstance(node, dict):
        raise ConfigError(f"{key} must be a block with a _target_, or null, got {node!r}")
    if key in REQUIRED and "run" not in plain and "_target_" not in (node or {}):
        raise ConfigError(f"{key} has no _target_: choose one of configs/{key}/")
    children = node or {}
    of_blocks |= "_target_" not in children and any(map(is_block, children.values()))
    for name, child in children.items():
        if of_blocks and child and not isinstance(child, dict):
            raise ConfigError(f"{key}.{name} must be a block with a _target_, or null, got {child!r}")
        if of_blocks and child and not is_block(child):
            raise ConfigError(f"{key}.{name} has no _target_, so nobody reads it: {no_key(f'{key}.{name}', plain)}")
        if isinstance(child, dict):
            check_map(f"{key}.{name}", child, plain)


def is_block(node: Any) -> bool:
    return isinstance(node, dict) and "_target_" in node


def check_files(plain: dict[str, Any]) -> None:
    """Raise ConfigError for a file or folder that is missing, or a share that is none."""
    data, checkpoint = plain.get("data") or {}, plain.get("checkpoint")
    for name in FRACTIONS:
        if isinstance(share := data.get(name), int | float) and not 0 <= share < 1:
            raise ConfigError(f"data.{name} must be between 0 and 1, got {share}")
    paths = {f"data.{name}": data.get(name) for name in (*FILES, *["root"] * ("download" not in data))}
    paths |= {} if "run" in plain or checkpoint == "last" else {"checkpoint": checkpoint}
    for key, path in paths.items():
        if isinstance(path, str) and not Path(path).exists():
            raise ConfigError(f"{key}={path} does not exist (relative to {Path.cwd()})")
    if "input" in plain:
        check_prediction(plain)
        if plain["run"] is None and checkpoint not in ("best", "last"):
            if not Path(str(checkpoint)).is_file():
                raise ConfigError(f"run is null, and checkpoint={checkpoint} is no file (relative to {Path.cwd()})")
            return
    is_of_all = "runs_dir" in plain and not plain.get("run")
    if "run" in plain and not is_of_all and not Path(plain["run"] or "", "config.yaml").is_file():
        raise ConfigError(
            f"run must be the folder of a run, as run=runs/baseline, got {plain['run']}: it has no config.yaml"
        )


def check_prediction(plain: dict[str, Any]) -> None:
    """Raise ConfigError for a value of predict.yaml that cannot be right."""
    given, output = plain["input"], plain["output"]
    if given is None or (isinstance(given, str) and not Path(given).exists() and not glob(given, recursive=True)):
        raise ConfigError(f"input must be a file, a folder, a glob or a list, got {given} (relative to {Path.cwd()})")
    if output is not None and Path(output).suffix not in ENDINGS:
        raise ConfigError(f"output must end in {', '.join(ENDINGS)}, got {output}")
    for key in ("top", "batch_size"):
        if plain[key] is not None and plain[key] < 1:
            raise ConfigError(f"{key} must be at least 1, or null, got {plain[key]}")
    if plain["trainer"].get("devices", 1) != 1:
        raise ConfigError(f"trainer.devices must be 1 to predict, got {plain['trainer']['devices']}")
    if plain["calibrate"] and plain["run"] is None:
        raise ConfigError("calibrate=true needs run=, the folder of the run: its validation split is used")
    if plain["data"] and not plain["calibrate"]:
        raise ConfigError(f"data.{next(iter(plain['data']))} is read with calibrate=true only, whose data it is of")


def at_home(node: Any) -> Any:
    """Return a plain config whose texts that begin with `~/` begin with the home folder."""
    if isinstance(node, dict):
        return {key: at_home(child) for key, child in node.items()}
    if isinstance(node, list):
        return [at_home(child) for child in node]
    return os.path.expanduser(node) if isinstance(node, str) and re.match("~(/|$)", node) else node


def no_key(key: str, plain: dict[str, Any]) -> str:
    """Return `... is no key`, with the nearest of those that a config has: the same last word, or almost the same words."""
    parent, _, last = key.rpartition(".")
    ends = {name.rpartition(".")[2]: name for name in dotted(plain) if name != key}
    beside = {
        name.rpartition(".")[2]: name for name in dotted(plain) if name.rpartition(".")[0] == parent and name != key
    }
    nearest = [last] * (last in ends) or get_close_matches(last, beside) or get_close_matches(last, ends, cutoff=0.8)
    return f"{key} is no key" + (f"; did you mean {(ends | beside)[nearest[0]]}?" if nearest else "")


def dotted(node: Any, key: str = "") -> Iterator[str]:
    """Yield the dotted names of what is in nested dicts."""
    for name, child in node.items() if isinstance(node, dict) else ():
        yield f"{key}{name}"
        yield from dotted(child, f"{key}{name}.")
