"""All runs: in a table, those that differ in their seed or fold alone as one line, and on a page that compares them."""

import re
from collections import Counter, defaultdict
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
REPEATS = (".seed", ".fold")  # ends of the keys, after a dot, in which the runs of a line may differ
MISSING = 20  # pages of runs that were killed are written at a time


def show_runs(runs_dir: Path, *, words: str, sort: str | None, most: int) -> None:
    """Write index.html into the folder of the runs, and print the lines that hold all of the words.

    Args:
        runs_dir: the folder.
        words: of names, states and values of the config, as in `cnn optimizer.lr=0.01`.
        sort: a column, with a minus for the largest first; None: the newest first.
        most: lines that are printed.

    Raises:
        ConfigError: there are no runs, or there is no such column.
    """
    runs = read_runs(runs_dir)
    for run in [run for run in runs if not run["page"] and run["status"] != "running"][:MISSING]:
        try:
            write_page(page := runs_dir / run["name"] / "report.html")
            run["page"] = True
        except (OSError, yaml.YAMLError) as error:
            print(f"{page} cannot be written: {error}")
    lines = lines_of(runs)
    names = dict.fromkeys(name for line in lines for name in line["metrics"])
    metrics = sorted(names, key=lambda name: (not name.startswith("test/"), name.endswith("loss"), name))
    shared = set.intersection(*(set(run["config"].items()) for run in runs))
    configs = {run["name"]: dict(run["config"].items() - shared) for run in runs}
    write(runs_dir / "index.html", "runs.html", lines=lines, metrics=metrics, configs=configs)
    found = [line for line in lines if all(word in line["text"] for word in words.lower().split())]
    if sort:
        found = in_order(found, sort, metrics)
    shown = metrics[:4]
    rows = [("run", "n", "status", *shown, "what is special")]
    for line in found[:most]:
        rows.append((line["name"], str(line["n"]), line["status"], *(as_text(line, m) for m in shown), line["changes"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{text:<{width}}" for text, width in zip(row[:-1], widths, strict=False)) + f"  {row[-1]:.80}")
    print(f"\n{len(found)} of {len(lines)} lines, {len(runs)} runs: {runs_dir / 'index.html'}")


def read_runs(runs_dir: Path) -> list[dict[str, Any]]:
    """Return what is known of each run in a folder, the newest first."""
    runs = []
    for file in runs_dir.glob("[!.]*/config.yaml"):
        summary = read_json(file.with_name("summary.json"))
        values = {name: metric.get("value") for name, metric in summary.get("metrics", {}).items()}
        blocks = re.split(r"(?m)^(?=[^\s-])", file.read_text(errors="replace"))
        runs.append(
            {
                "name": file.parent.name,
                "status": status_of(file.parent, summary),
                "time": file.stat().st_mtime,
                "split": summary.get("split_sha256"),
                "metrics": {name: value for name, value in values.items() if isinstance(value, int | float)},
                "config": {key: value for block in blocks for key, value in parsed(block)},
                "page": file.with_name("report.html").exists(),
            }
        )
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
        pairs = [pair for pair in run["config"].items() if not repeats(pair[0])]
        is_fold = any(f".{key}".endswith(".fold") for key in run["config"])
        same[(*pairs, ("split_sha256", None if is_fold else run["split"]))].append(run)
    frequent = Counter(pair for pairs in same for pair in pairs)
    lines = []
    for pairs, group in same.items():
        special = [pair for pair in pairs if frequent[pair] < len(same)]
        lines.append(line_of(group, sorted(special, key=frequent.__getitem__)))
    return lines


def repeats(key: str) -> bool:
    """Say whether runs that differ in a key are the same experiment."""
    return f".{key}".endswith(REPEATS)


def line_of(group: list[dict[str, Any]], special: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the line of some runs; its numbers are those of the newest that has finished of each seed and fold."""
    finished = [run for run in reversed(group) if run["status"] == "finished"]
    each = {tuple(x for key, x in run["config"].items() if repeats(key)): run for run in finished}
    values = defaultdict(list)
    for run in each.values():
        for name, value in run["metrics"].items():
            values[name].append(value)
    states = Counter(run["status"] for run in group)
    line = {
        "name": group[0]["name"] + (f" and {len(group) - 1} more" if len(group) > 1 else ""),
        "status": ", ".join(f"{n} {state}" if len(group) > 1 else state for state, n in states.items()),
        "changes": " ".join(f"{key}={value}" for key, value in special),
        "n": len(each),
        "metrics": {name: (mean(x), stdev(x) if len(x) > 1 else None) for name, x in values.items()},
        "runs": group,
    }
    names = " ".join(run["name"] for run in group)
    return line | {"text": f"{names} {line['status']} {line['changes']}".lower()}


def in_order(lines: list[dict[str, Any]], sort: str, metrics: list[str]) -> list[dict[str, Any]]:
    """Return the lines sorted by a column; those without a value come last."""
    column = sort.removeprefix("-")
    if column not in (allowed := ["name", "status", "n", *metrics]):
        raise ConfigError(f"sort must be one of {', '.join(allowed)}, with a minus for the largest first, got {sort!r}")
    value = {line["name"]: line.get(column, line["metrics"].get(column, [None])[0]) for line in lines}
    known = [line for line in lines if value[line["name"]] is not None]
    by_value = sorted(known, key=lambda line: value[line["name"]], reverse=sort.startswith("-"))
    return by_value + [line for line in lines if value[line["name"]] is None]


def as_text(line: dict[str, Any], metric: str) -> str:
    """Return the mean of a metric, and its standard deviation where there are several runs."""
    middle, spread = line["metrics"].get(metric, (None, None))
    return "" if middle is None else f"{middle:.4f}" + ("" if spread is None else f" ± {spread:.4f}")
