"""The page of one run, made from the files of its folder alone: neither torch nor Lightning is needed."""

import csv
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from jinja2 import Environment, FileSystemLoader
from omegaconf import OmegaConf

from <<cookiecutter.package>>.engine.redact import redacted
from <<cookiecutter.package>>.engine.survival.config_differences import WHERE, flat

NUMBER = re.compile(r"(?i)[-+]?\d+(\.\d*)?(e[-+]?\d+)?")
MATRIX = 100  # classes of a confusion matrix that is drawn
PAIRS = 10  # of classes that are confused most


def write_page(path: Path) -> None:
    """Write the page of the run whose folder `path` is in."""
    from . import figures

    folder = path.parent
    summary, facts = read_json(folder / "summary.json"), {"seconds": {}} | read_json(path.with_suffix(".json"))
    history = read_history(folder / "metrics.csv")
    config = OmegaConf.load(folder / "config.yaml")
    plain: Any = redacted(OmegaConf.to_container(config))
    drawn = figures.curves(history, summary.get("best_epoch"))
    below = [name for name in drawn if name == "learning rate" or name.endswith("_step")]
    values = {
        "title": f"{folder.resolve().name}{'' if path.stem == 'report' else f': {path.stem}'}",
        "status": status_of(folder, summary),
        "curves": {name: figure for name, figure in drawn.items() if name not in below},
        "rates": {name: drawn[name] for name in below},
        "reliability": figures.reliability(facts["bins"]) if facts.get("bins") else "",
        "predictions": figures.predictions(facts["points"]) if facts.get("points") else "",
        "matrix": matrix(facts),
        "ranked": sorted(
            zip(facts.get("class_names", []), facts.get("classes", []), strict=True), key=lambda row: row[1][2]
        ),
        "changes": changes(plain),
        "config": OmegaConf.to_yaml(OmegaConf.create(plain)),
        "result": headline(summary, facts),
        "metrics": summary.get("metrics", {}) | facts.get("metrics", {}),
        "folder": folder,
    }
    write(path, "run.html", **redacted({"summary": summary, "facts": facts}), **values)


def write(path: Path, template: str, **values: Any) -> None:
    """Replace a page in one step."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
    environment.filters |= {"number": number, "percent": lambda share: f"{100 * share:.1f} %"}
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(environment.get_template(template).render(values), encoding="utf-8")
    os.replace(unfinished, path)


def number(value: Any) -> str:
    """Return a number as it is read; what is none, such as a list, in words."""
    if isinstance(value, str):  # JSON has neither NaN nor infinity
        return value
    return f"{value:.4g}" if isinstance(value, int | float) else "many numbers, in summary.json"


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file says; one that is missing or damaged says nothing."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of metrics.csv, without what is no finite number; a file that is missing has none."""
    rows = csv.DictReader(path.read_text(errors="replace").splitlines()) if path.exists() else ()
    return [{name: float(x) for name, x in row.items() if name and NUMBER.fullmatch(str(x))} for row in rows]


def status_of(folder: Path, summary: Mapping[str, Any]) -> str:
    """Return how a run ended; one that says it is running, and whose folder no process has locked, was killed."""
    status = str(summary.get("status", "unknown"))
    return "killed" if status == "running" and not is_locked(folder) else status


def is_locked(folder: Path) -> bool:
    """Say whether a process holds the lock of a folder, see survival/run_lock.py; on Windows it cannot be asked."""
    path = (real := folder.resolve()).with_name(f".{real.name}.lock")
    try:
        import fcntl

        with path.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (OSError, ImportError):
        return True
    return False


def headline(summary: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result with its interval and its number of samples: the accuracy, or else the first metric."""
    if "correct" in facts:
        share = {
            "name": f"{facts['split']}/accuracy",
            "value": facts["correct"] / facts["num_samples"],
            "is_share": True,
        }
        return share | {"interval": facts["accuracy"], "num_samples": facts["num_samples"]}
    metrics = facts.get("metrics") or summary.get("metrics", {})
    intervals = facts.get("intervals", {})
    for name in (*intervals, *reversed(metrics)):
        if name in metrics and isinstance(metrics[name].get("value"), int | float):
            return {"name": name, **metrics[name], "interval": intervals.get(name)}
    return {}


def matrix(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of the confusion matrix as counts and shares, and the classes that are confused most."""
    names = facts.get("class_names", [])
    rows = [[(0, 0.0)] * len(names) for _ in names] if len(names) <= MATRIX else []
    for target, guess, count in facts.get("confusions", []) if rows else []:
        rows[target][guess] = (count, count / facts["classes"][target][3])
    wrong = [row for row in facts.get("confusions", []) if row[0] != row[1]]
    pairs = sorted(wrong, key=lambda row: -row[2])[:PAIRS]
    return {"rows": rows, "pairs": [(names[target], names[guess], count) for target, guess, count in pairs]}


def changes(config: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return key, default and value of what a config has otherwise than configs/train.yaml."""
    if not GlobalHydra.instance().is_initialized():
        return []
    before = flat(redacted(OmegaConf.to_container(compose("train"))))
    now = flat(config)
    keys = [key for key in now | before if now.get(key) != before.get(key) and key not in WHERE]
    return [
        (key, *("null" if side.get(key, "") is None else side.get(key, "") for side in (before, now))) for key in keys
    ]
