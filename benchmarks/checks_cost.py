"""What the checks of every run cost: default runs with them against default runs without.

python benchmarks/checks_cost.py --pairs 150        # in the template's environment: python3 -m uv run python ...

The checks work in the first steps of the first two epochs and in the first evaluations, and then leave the Trainer. So they cost a run
of three epochs of twelve steps what they cost a whole one, and on a shared machine, whose speed changes from second to second,
the difference of two short runs shows it better. They are trained in one process and one thread, with `checks=error` and
`checks=skip` in turn, and their CPU seconds compared. What comes out is set against a whole run of twenty epochs.
"""

import argparse
import contextlib
import io
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cookiecutter.main import cookiecutter

SHORT = ["trainer.max_epochs=3", "+trainer.limit_train_batches=12"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=150)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(cookiecutter(str(Path(__file__).parent.parent), no_input=True, output_dir=folder))
        sys.path.insert(0, str(project))
        from hydra import compose, initialize_config_dir
        from my_project.engine.hydra_version import VERSION_BASE
        from my_project.engine.run import train
        from torch import set_num_threads

        set_num_threads(1)

        def run(checks: str, *overrides: str) -> float:
            """Return the CPU seconds of a run."""
            always = [f"runs_dir={folder}/runs", "trainer.accelerator=cpu", f"checks={checks}"]
            with initialize_config_dir(str(project / "configs"), **VERSION_BASE):
                cfg = compose("train", overrides=[*always, *overrides])
            start = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                train(cfg)
            return time.process_time() - start

        run("error", *SHORT), run("skip", *SHORT)  # warm
        extra = []
        for number in range(pairs):
            first, second = ("error", "skip")[:: 1 if number % 2 else -1]
            seconds = {first: run(first, *SHORT), second: run(second, *SHORT)}
            extra.append(seconds["error"] - seconds["skip"])
        whole = statistics.median(run("skip") for _ in range(3))
    cost = statistics.median(extra)
    low, high = interval_of_the_median(extra)
    print(f"the checks take {cost:.3f} s of CPU, with 95 % confidence {low:.3f} to {high:.3f} s, in {pairs} pairs of runs")
    print(f"that is {cost / whole:.2%} ({low / whole:.2%} to {high / whole:.2%}) of a whole run of {whole:.1f} s")


def interval_of_the_median(values: list[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the median, from order statistics (binomial, normal approximation)."""
    middle, half = len(values) / 2, 1.96 * math.sqrt(len(values)) / 2
    ordered = sorted(values)
    return ordered[max(0, math.floor(middle - half))], ordered[min(len(values) - 1, math.ceil(middle + half))]


if __name__ == "__main__":
    main()
