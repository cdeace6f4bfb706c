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
from yaml import YAMLError

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.redact import redacted
from <<cookiecutter.package>>.engine.survival.config_differences import WHERE, flat

NUMBER = re.compile(r"(?i)[-+]?\d+(\.\d*)?(e[-+]?\d+)?")
PAIRS = 10  # of classes that are confused most


def write_page(path: Path) -> None:
    """Write the page of the run whose folder `path` is in."""
    from . import figures

    folder = path.parent
    facts: dict[str, Any] = {"seconds": {}} | read_json(path.with_suffix(".json"))
    summary: Any = redacted(read_json(folder / "summary.json"))
    try:
        config: Any = redacted(OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")))
    except (OSError, ValueError, YAMLError) as error:
        raise ConfigError(f"{folder / 'config.yaml'} cannot be read: {error}") from error
    confusions, classes = facts.get("confusions", []), facts.get("classes", [])
    names = facts.get("class_names", [])
    wrong = [(names[target], names[guess], n) for target, guess, n in confusions if target != guess]
    write(
        path,
        "run.html",
        title=folder.resolve().name + (f": {path.stem}" if path.stem != "report" else ""),
        folder=folder,
        summary=summary,
        status=status_of(summary),
        facts=facts,
        result=result(summary, facts),
        curves=figures.curves(read_history(folder / "metrics.csv"), summary.get("best_epoch")),
        reliability=figures.reliability(facts["bins"]) if classes else "",
        predictions=figures.predictions(facts["points"]) if facts.get("points") else "",
        cells={(target, guess): count for target, guess, count in confusions},
        pairs=sorted(wrong, key=lambda row: -row[2])[:PAIRS],
        ranked=sorted(zip(names, classes, strict=True), key=lambda row: row[1][2]),
        changes=changes(config),
        config=OmegaConf.to_yaml(OmegaConf.create(config)),
        watched=config.get("checks") != "skip" and config.get("callbacks", {}).get("checks"),
    )


def write(path: Path, template: str, **values: Any) -> None:
    """Replace a page in one step."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(environment.get_template(template).render(values), encoding="utf-8")
    os.replace(unfinished, path)


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


def status_of(summary: Mapping[str, Any]) -> str:
    """Return how a run ended; one that did not say so is training, or was killed."""
    status = str(summary.get("status", "running"))
    return "incomplete" if status == "running" else status


def result(summary: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result with its interval and its number of samples: the accuracy, or else the first metric."""
    metrics, intervals = summary.get("metrics", {}) | facts.get("metrics", {}), facts.get("intervals", {})
    for name in (*intervals, *reversed(metrics)):
        if "result" not in facts and name in metrics and isinstance(metrics[name].get("value"), int | float):
            return {"name": name, "interval": intervals.get(name), **metrics[name]}
    return facts.get("result", {})


def changes(config: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return key, default and value of what a config has otherwise than configs/train.yaml."""
    now, is_known = flat(config), GlobalHydra.instance().is_initialized()
    before = flat(redacted(OmegaConf.to_container(compose("train")))) if is_known else now
    keys = [key for key in now | before if now.get(key) != before.get(key) and key not in WHERE]
    return [(key, before.get(key, ""), now.get(key, "")) for key in keys]
