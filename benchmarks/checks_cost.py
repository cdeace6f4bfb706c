"""What the checks of every run cost: default runs with them against default runs without.

python benchmarks/checks_cost.py --pairs 15         # in the template's environment: python3 -m uv run python ...

Trains the default model of a generated project in one process and one thread, alternately with `checks=error` and
`checks=skip`, and compares the CPU seconds: on a shared machine the seconds of the clock vary by more than the difference.
The checks work in the first two epochs and in the test, so runs of three epochs show what they cost; that cost is
compared with a whole run of twenty.
"""

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cookiecutter.main import cookiecutter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=15)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(cookiecutter(str(Path(__file__).parent.parent), no_input=True, output_dir=folder))
        sys.path.insert(0, str(project))
        from hydra import compose, initialize_config_dir
        from my_project.engine.hydra_version import VERSION_BASE
        from my_project.engine.run import train
        from torch import set_num_threads

        set_num_threads(1)

        def run(checks: str, epochs: int) -> float:
            """Return the CPU seconds of a run."""
            overrides = [f"runs_dir={folder}/runs", "trainer.accelerator=cpu", f"checks={checks}"]
            with initialize_config_dir(str(project / "configs"), **VERSION_BASE):
                cfg = compose("train", overrides=[*overrides, f"trainer.max_epochs={epochs}"])
            start = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                train(cfg)
            return time.process_time() - start

        run("error", 3), run("skip", 3)  # warm
        extra = []
        for number in range(pairs):
            first, second = ("error", "skip")[:: 1 if number % 2 else -1]
            seconds = {first: run(first, 3), second: run(second, 3)}
            extra.append(seconds["error"] - seconds["skip"])
            print(f"{seconds['error']:.2f} s against {seconds['skip']:.2f} s", flush=True)
        whole = statistics.median(run("skip", 20) for _ in range(3))
    cost = statistics.median(extra)
    low, _, high = statistics.quantiles(extra, n=4)
    print(f"the checks take {cost:.3f} s of CPU ({low:.3f} to {high:.3f} in half of the pairs), {cost / whole:.2%} of a run of {whole:.1f} s")


if __name__ == "__main__":
    main()
