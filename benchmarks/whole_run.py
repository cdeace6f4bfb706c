"""The default run as a whole process against the same work written by hand with torch alone (digits_by_hand.py).

python benchmarks/whole_run.py --pairs 7            # uv is needed: both run in an environment with the default answers

The two run in turn, one thread each; what counts is the ratio of each pair, by the CPU's and by the wall's clock.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cookiecutter.main import cookiecutter

HERE = Path(__file__).parent


def seconds(command: list[str | Path], cwd: Path) -> tuple[float, float, float]:
    """Run a command; return its seconds by the wall's clock, by the CPU's, and until it printed its first line."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([str(word) for word in command], cwd=cwd, env=env, stdout=subprocess.PIPE)
    process.stdout.readline()
    first = time.perf_counter() - began
    process.stdout.read()
    if process.wait():
        sys.exit(f"{command} failed")
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(cookiecutter(str(HERE.parent), no_input=True, output_dir=folder))
        env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
        subprocess.run([sys.executable, "-m", "uv", "sync", "-q", "--no-dev"], cwd=project, env=env, check=True)
        python = project / ".venv" / "bin" / "python"
        (digits,) = project.glob("*/data/images/digits.csv.gz")
        by_hand = [python, HERE / "digits_by_hand.py", digits, folder]
        rows = []
        for number in range(pairs + 1):  # the first pair reads the files into memory
            ours, theirs = seconds([python, "train.py"], project), seconds(by_hand, project)
            rows += [(*ours, *theirs)] * (number > 0)
        ratios = {"wall": [r[0] / r[3] for r in rows], "cpu": [r[1] / r[4] for r in rows]}
        for clock, values in ratios.items():
            print(f"{clock:<5} ours / by hand: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        print(f"first output after {statistics.median(r[2] for r in rows):.2f} s; whole run {statistics.median(r[0] for r in rows):.1f} s")
        scores = [json.loads(path.read_text())["metrics"]["test/accuracy"]["value"] for path in project.glob("runs/*/summary.json")]
        print(f"test accuracy {statistics.mean(scores):.4f}")


if __name__ == "__main__":
    main()
