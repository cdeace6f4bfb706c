"""What the checks of every run cost: default runs with them against default runs without.

python benchmarks/checks_cost.py --pairs 9         # in the template's environment: python3 -m uv run python ...

Trains the default model of a generated project in one process, alternately with `checks=error` and `checks=skip`. The
whole runs vary by more than the difference on a shared machine; the time of the first epoch, and of every later step, is
compared as well: the checks work in the first and are gone from the third epoch on.
"""

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=9)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(cookiecutter(str(Path(__file__).parent.parent), no_input=True, output_dir=folder))
        sys.path.insert(0, str(project))
        from hydra import compose, initialize_config_dir
        from lightning import Callback
        from my_project.engine.hydra_version import VERSION_BASE
        from my_project.engine.run import train
        from my_project.models.cnn import CNN

        class Epochs(Callback):
            """Notes when each epoch begins."""

            def on_train_epoch_start(self, *args: Any) -> None:
                times.append(time.perf_counter())

        times: list[float] = []
        CNN.configure_callbacks = lambda self: [Epochs()]

        def run(checks: str) -> list[float]:
            """Return the seconds of a whole run, up to the third epoch, and of an epoch after that."""
            with initialize_config_dir(str(project / "configs"), **VERSION_BASE):
                cfg = compose("train", overrides=[f"runs_dir={folder}/runs", "trainer.accelerator=cpu", f"checks={checks}"])
            times.clear()
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                train(cfg)
            end = time.perf_counter()
            later = [b - a for a, b in zip(times[2:], times[3:], strict=False)]
            return [end - start, times[2] - start, statistics.median(later)]

        run("error"), run("skip")  # warm
        checked, unchecked = [], []
        for number in range(pairs):
            for runs, checks in [(checked, "error"), (unchecked, "skip")][:: 1 if number % 2 else -1]:
                runs.append(run(checks))
            print(f"{checked[-1][0]:.2f} s against {unchecked[-1][0]:.2f} s", flush=True)
    for column, name in enumerate(("whole runs", "until the third epoch begins", "an epoch after that")):
        a, b = ([run[column] for run in runs] for runs in (checked, unchecked))
        ratio = statistics.median(x / y for x, y in zip(a, b, strict=True))
        print(f"{name}: median of {pairs} ratios {ratio:.3f}; medians {statistics.median(a):.3f} s and {statistics.median(b):.3f} s")
    extra = statistics.median(a[1] - b[1] for a, b in zip(checked, unchecked, strict=True))
    whole = statistics.median(run[0] for run in unchecked)
    print(f"the checks take {extra:.3f} s, {extra / whole:.2%} of a run")


if __name__ == "__main__":
    main()
