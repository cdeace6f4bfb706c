"""What surviving costs when nothing goes wrong: default runs against runs with Lightning's own checkpoints and CSV.

python benchmarks/survival_cost.py --pairs 9       # in the template's environment: python3 -m uv run python ...

Trains the default model of a generated project in one process, alternately with everything that lets a run survive
(durable saves, exact resume, preemption, finite loss, metrics.csv) and with `ModelCheckpoint` and `CSVLogger` in their
place. On a shared machine the wall time of a run varies by more than the difference, so the time spent inside these
parts is measured too; their difference as a share of a run is the figure to look at.
"""

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter

PLAIN = [
    "~callbacks.checkpoint",
    "+callbacks.checkpoint={_target_:lightning.pytorch.callbacks.ModelCheckpoint,dirpath:'${run_dir}/checkpoints',"
    "filename:best,monitor:'${monitor}',mode:'${mode}',save_last:true,enable_version_counter:false}",
    "callbacks.exact_resume=null",
    "callbacks.preemption=null",
    "callbacks.finite_loss=null",
    "trainer.plugins=null",
    "~logger.csv",
    "+logger.csv={_target_:lightning.pytorch.loggers.CSVLogger,save_dir:'${run_dir}',name:'',version:''}",
]


class Stopwatch:
    """Adds up the time spent in some functions, each moment once."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0

    def watch(self, owner: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **options: Any) -> Any:
            self.depth += 1
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.depth -= 1
                if self.depth == 0:
                    self.seconds += time.perf_counter() - start

        setattr(owner, name, watched)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=9)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(cookiecutter(str(Path(__file__).parent.parent), no_input=True, output_dir=folder))
        sys.path.insert(0, str(project))
        from hydra import compose, initialize_config_dir
        from lightning.pytorch.callbacks import ModelCheckpoint
        from lightning.pytorch.loggers import CSVLogger
        from my_project.engine import loops
        from my_project.engine.survival.best_and_last import BestAndLast
        from my_project.engine.survival.exact_resume import ExactResume
        from my_project.engine.survival.finite_loss import FiniteLoss
        from my_project.engine.hydra_version import VERSION_BASE
        from my_project.engine.metrics_csv import MetricsCSV
        from my_project.engine.survival.preemption import Preemption
        from my_project.engine.run import train

        inside = Stopwatch()
        for part, names in {
            BestAndLast: ["on_validation_end"],
            ExactResume: ["before_run", "before_first_step"],
            FiniteLoss: ["on_train_batch_start", "on_before_backward", "on_train_end"],
            Preemption: ["setup", "before_run", "on_test_batch_end"],
            MetricsCSV: ["log_metrics", "save", "finalize"],
            ModelCheckpoint: ["on_train_batch_end", "on_train_epoch_end", "on_validation_end", "setup"],
            CSVLogger: ["log_metrics", "save", "finalize"],
            loops: ["rng_state"],
        }.items():
            for name in names:
                inside.watch(part, name)
        for part in (BestAndLast, Preemption):
            inside.watch(part, "between_steps")

        def run(*overrides: str) -> tuple[float, float]:
            """Return the seconds of a run, and those within the parts compared."""
            with initialize_config_dir(str(project / "configs"), **VERSION_BASE):
                cfg = compose("train", overrides=[f"runs_dir={folder}/runs", "trainer.accelerator=cpu", *overrides])
            inside.seconds, start = 0.0, time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                train(cfg)
            return time.perf_counter() - start, inside.seconds

        run(), run(*PLAIN)  # warm
        surviving, plain = [], []
        for number in range(pairs):
            for runs, overrides in [(surviving, ()), (plain, PLAIN)][:: 1 if number % 2 else -1]:
                runs.append(run(*overrides))
            print(f"{surviving[-1][0]:.2f} s against {plain[-1][0]:.2f} s", flush=True)
    ratio = statistics.median(a[0] / b[0] for a, b in zip(surviving, plain, strict=True))
    within, within_plain = (statistics.median(run[1] for run in runs) for runs in (surviving, plain))
    whole = statistics.median(run[0] for run in plain)
    print(f"whole runs: median of the ratios of {pairs} pairs {ratio:.3f}")
    print(f"inside the parts compared: {within:.3f} s against {within_plain:.3f} s; the difference is {(within - within_plain) / whole:.2%} of a run")


if __name__ == "__main__":
    main()
