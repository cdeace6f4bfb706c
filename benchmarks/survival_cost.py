"""What surviving costs when nothing goes wrong: default runs against runs with Lightning's own checkpoints and CSV.

python benchmarks/survival_cost.py --pairs 15      # in the template's environment: python3 -m uv run python ...

Trains the default model of a generated project, alternately with everything that lets a run survive (durable saves,
exact resume, preemption, finite loss, metrics.csv) and with `ModelCheckpoint` and `CSVLogger` in their place, in one
process. Prints the median of the ratios of the pairs and their quartiles.
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

        def seconds(*overrides: str) -> float:
            with initialize_config_dir(str(project / "configs"), **VERSION_BASE):
                cfg = compose("train", overrides=[f"runs_dir={folder}/runs", "trainer.accelerator=cpu", *overrides])
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                train(cfg)
            return time.perf_counter() - start

        seconds(), seconds(*PLAIN)  # warm
        ratios = []
        for number in range(pairs):
            if number % 2:
                surviving, plain = seconds(), seconds(*PLAIN)
            else:
                plain, surviving = seconds(*PLAIN), seconds()
            ratios.append(surviving / plain)
            print(f"{surviving:.2f} s / {plain:.2f} s = {ratios[-1]:.3f}", flush=True)
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"surviving / plain: median {median:.3f}, quartiles {low:.3f} and {high:.3f}, {pairs} pairs")


if __name__ == "__main__":
    main()
