"""All runs: in a table, those that differ in their seed or fold alone as one line, and on a page that compares them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.redact import redacted
from <<cookiecutter.package>>.engine.survival.config_differences import WHERE, flat

from .page import read_json, status_of, write, write_page

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
REPEATS = re.compile(r"(.*\.)?(seed|fold)")  # keys in which the runs of a line may differ
PAGES = 20  # that are written for runs which could not do so themselves
COLUMNS = 4  # of metrics in the terminal


def show_runs(runs_dir: Path, *, words: str, sort: str | None, most: int) -> None:
    """Write index.html into the folder of the runs, and print the lines that hold all of the words.

    Args:
        runs_dir: the folder.
        words: of names, states and values of the config, as in `finished optimizer.lr=0.01`.
        sort: a metric or n, with a minus for the largest first; None: the newest first.
        most: lines that are printed.

    Raises:
        ConfigError: there are no runs, or there is no such column.
    """
    runs = read_runs(runs_dir)
    for run in [run for run in runs if not run["page"] or run["status"] == "incomplete"][:PAGES]:
        page = runs_dir / run["name"] / "report.html"
        try:
            write_page(page)
            run["page"] = True
        except (OSError, ConfigError) as error:
            print(f"{page} cannot be written: {error}")
    lines = lines_of(runs)
    names = dict.fromkeys(name for line in lines for name in line["means"])
    metrics = sorted(names, key=lambda name: (not name.startswith("test/"), name.endswith("loss"), name))
    shared = set.intersection(*(set(run["config"].items()) for run in runs))
    configs = {run["name"]: dict(run["config"].items() - shared) for run in runs}
    write(runs_dir / "index.html", "runs.html", lines=lines, metrics=metrics, configs=configs)
    found = [line for line in lines if all(word in line["text"] for word in words.lower().split())]
    if sort:
        column, sign = sort.removeprefix("-"), -1 if sort.startswith("-") else 1
        if column not in ("n", *metrics):
            allowed = ", ".join(["n", *metrics])
            raise ConfigError(f"sort must be one of {allowed}, with a minus for the largest first, got {sort!r}")
        values = {id(line): line.get(column, line["means"].get(column)) for line in found}
        found.sort(key=lambda line: (values[id(line)] is None, sign * (values[id(line)] or 0)))
        metrics.sort(key=lambda name: name != column)
    print_table(found[:most], metrics[:COLUMNS])
    print(f"\n{len(found)} of {len(lines)} lines, {len(runs)} runs: {runs_dir / 'index.html'}")


def print_table(lines: Iterable[dict[str, Any]], metrics: list[str]) -> None:
    rows = [("run", "n", "status", *metrics, "what is special")]
    for line in lines:
        texts = (line["texts"].get(name, "") for name in metrics)
        rows.append((line["name"], str(line["n"]), line["status"], *texts, line["special"][:80]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


def read_runs(runs_dir: Path) -> list[dict[str, Any]]:
    """Return what is known of each run in a folder, the newest first."""
    runs = []
    for file in runs_dir.glob("[!.]*/config.yaml"):
        summary = read_json(file.with_name("summary.json"))
        values = {name: metric.get("value") for name, metric in summary.get("metrics", {}).items()}
        blocks = re.split(r"(?m)^(?=[^\s-])", file.read_text(errors="replace"))
        facts = {"name": file.parent.name, "status": status_of(summary), "split": summary.get("split_sha256")}
        facts |= {"time": file.stat().st_mtime, "page": file.with_name("report.html").exists()}
        facts["metrics"] = {name: value for name, value in values.items() if isinstance(value, int | float)}
        runs.append(facts | {"config": {key: value for block in blocks for key, value in parsed(block)}})
    if not runs:
        raise ConfigError(f"runs_dir must be the folder of your runs, got {str(runs_dir)!r}, which has none")
    return sorted(runs, key=lambda run: run["time"], reverse=True)


@cache
def parsed(block: str) -> list[tuple[str, str]]:
    """Return the values of one key at the top of a config.yaml; thousands of runs have few different ones."""
    try:
        node = redacted(yaml.load(block, LOADER))
    except yaml.YAMLError:  # it was edited by hand
        node = {"config.yaml": "damaged"}
    values = flat(node) if isinstance(node, dict) else {}
    values = {key.removesuffix("._target_"): value for key, value in values.items() if key not in WHERE}
    return [(key, "null" if value is None else str(value)) for key, value in values.items()]


def lines_of(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a line for each experiment: runs with the same config and data, whatever their seed or fold."""
    same = defaultdict(list)
    for run in runs:
        pairs = [pair for pair in run["config"].items() if not REPEATS.fullmatch(pair[0])]
        is_fold = any(key.endswith("fold") and REPEATS.fullmatch(key) for key in run["config"])
        same[frozenset([*pairs, ("split_sha256", None if is_fold else run["split"])])].append(run)
    frequent = Counter(pair for pairs in same for pair in pairs)
    lines = []
    for pairs, group in same.items():
        special = [
            pair for pair in sorted(pairs, key=lambda pair: (frequent[pair], pair)) if frequent[pair] < len(same)
        ]
        lines.append(line_of(group, " ".join(f"{key}={value}" for key, value in special)))
    return lines


def line_of(group: list[dict[str, Any]], special: str) -> dict[str, Any]:
    """Return the line of some runs; its numbers are those of the newest that has finished of each seed and fold."""
    finished = [run for run in reversed(group) if run["status"] == "finished"]
    each = {tuple(x for key, x in run["config"].items() if REPEATS.fullmatch(key)): run for run in finished}
    values = defaultdict(list)
    for name, value in (pair for run in each.values() for pair in run["metrics"].items()):
        values[name].append(value)
    means = {name: mean(x) for name, x in values.items()}
    spread = {name: f" ± {stdev(x):.4f}" if len(x) > 1 else "" for name, x in values.items()}
    states = Counter(run["status"] for run in group)
    status = ", ".join(f"{n} {state}" if len(group) > 1 else state for state, n in states.items())
    line = {"name": group[0]["name"] + (f" and {len(group) - 1} more" if len(group) > 1 else ""), "n": len(each)}
    line |= {"means": means, "texts": {name: f"{x:.4f}{spread[name]}" for name, x in means.items()}, "runs": group}
    text = " ".join([*(run["name"] for run in group), status, special])
    return line | {"status": status, "special": special, "text": text.lower()}
