"""Kill runs with SIGKILL, continue them with the same command, and compare them with runs that were left alone.

python tests/soak_resume.py --kills 100                    # at random moments, spread over several runs
python tests/soak_resume.py --kills 0 --kills-in-save 50   # while a large checkpoint is being written
python tests/soak_resume.py --kills 0 --together 20        # so many unnamed runs started at once, and two of one name

Needs the template's environment: `python3 -m uv run python tests/soak_resume.py ...`. Prints what it saw and exits with 1
when a run was lost, a checkpoint could not be read, or a run did not end with the same weights and metrics.csv.
"""

import argparse
import contextlib
import os
import pickle
import random
import runpy
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import lightning.pytorch.loggers  # noqa: F401  imported once: each run is a fork of this process, which saves 10 s
import torch
import torchmetrics.classification  # noqa: F401
from cookiecutter.main import cookiecutter

AUGMENTED = '''
"""Digits with noise: drawn in the dataset, in a process of the loader if there are any, and again on the device."""

import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from my_project.data.images.digits import Digits
from my_project.engine.loader import TensorLoader


class Noisy(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, indices):
        images, labels = self.dataset[indices]
        return images + 0.1 * (torch.rand(1) + random.random() + float(np.random.rand())), labels


class Augmented(Digits):
    def __init__(self, own_loader=False, **options):
        super().__init__(**options)
        self.own_loader = own_loader

    def train_dataloader(self):
        dataset = Noisy(self.splits["train"])
        if not self.own_loader:
            return TensorLoader(dataset, shuffle=True, **self.loading)
        return DataLoader(dataset, batch_size=32, shuffle=True, drop_last=True, num_workers=self.loading["num_workers"])

    def on_after_batch_transfer(self, batch, dataloader_idx):
        images, labels = super().on_after_batch_transfer(batch, dataloader_idx)
        if self.trainer.training:
            images = images + 0.1 * torch.rand(len(images), 1, 1, 1)
        return images, labels
'''
LOGGING = '''
"""An MLP that logs in every way there is: means, maxima, metrics, some only now and then."""

import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from my_project.models.mlp import MLP


class Logging(MLP):
    def __init__(self, **options):
        super().__init__(**options)
        metrics = {"accuracy": MulticlassAccuracy(10), "f1": MulticlassF1Score(10, average="macro")}
        self.train_metrics = MetricCollection(metrics, prefix="train/")

    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        self.log("train/noise", torch.rand(()))

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("train/mean", loss, on_step=False, on_epoch=True)
        self.log("train/max", loss, on_step=True, on_epoch=True, reduce_fx="max")
        if batch_idx % 7 == 0:
            self.log("train/rare", loss, on_step=True, on_epoch=True)
        self.train_metrics.update(torch.rand(len(batch[1]), 10), batch[1])
        return loss

    def on_train_batch_end(self, *args):
        torch.rand(1)

    def on_train_epoch_end(self):
        self.log_dict(self.train_metrics)
'''
FILES = {
    "my_project/data/augmented.py": AUGMENTED,
    "configs/data/augmented.yaml": "defaults: [digits]\n_target_: my_project.data.augmented.Augmented\nown_loader: false\n",
    "my_project/models/logging.py": LOGGING,
    "configs/model/logging.yaml": "_target_: my_project.models.logging.Logging\n",
}

EVERY = "callbacks.checkpoint.every_n_train_steps"
CASES = {  # dropout and OneCycle in all of them but two
    "dropout": ["model=mlp", f"{EVERY}=5"],
    "accumulate": ["model=mlp", "trainer.accumulate_grad_batches=2", "data.num_workers=2", f"{EVERY}=3"],
    "convolutions": ["model=cnn", "optimizer=sgd", "scheduler=cosine", f"{EVERY}=5"],
    "validation-within": ["model=mlp", "+trainer.val_check_interval=10", f"{EVERY}=7"],
    "epochs-only": ["model=mlp"],
    "augmented": ["model=mlp", "data=augmented", "data.num_workers=2", f"{EVERY}=5"],
    "own-loader": [
        "model=mlp",
        "data=augmented",
        "data.own_loader=true",
        "trainer.accumulate_grad_batches=2",
        f"{EVERY}=4",
    ],
    "own-logs": ["model=logging", "data=augmented", f"{EVERY}=5"],
    "own-workers": ["model=mlp", "data=augmented", "data.own_loader=true", "data.num_workers=2", f"{EVERY}=4"],
}
COMMON = ["trainer.accelerator=cpu", "trainer.max_epochs=8", "callbacks.early_stopping=null"]
LARGE = [
    "model=mlp", "model.hidden_sizes=[3000,3000]", "trainer.max_epochs=1000", "+trainer.limit_train_batches=2",
    "+trainer.limit_val_batches=1", "trainer.accelerator=cpu", "scheduler=none", "callbacks.early_stopping=null",
]  # fmt: skip


def start(project: Path, *arguments: str) -> int:
    """Run train.py in a fork and return its process id; what it prints goes to output.txt."""
    process = os.fork()
    if process:
        return process
    os.chdir(project)
    output = os.open("output.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1), os.dup2(output, 2)
    sys.path.insert(0, str(project))
    sys.argv, code = ["train.py", *arguments], 0
    try:
        runpy.run_path("train.py", run_name="__main__")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        print(error.code)
    except BaseException:  # noqa: BLE001  whatever it is, this is where the process ends
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def finish(project: Path, *arguments: str) -> None:
    """Run train.py to its end, which has to be a good one."""
    code = os.waitstatus_to_exitcode(os.waitpid(start(project, *arguments), 0)[1])
    if code:
        sys.exit(f"exit code {code}: train.py {' '.join(arguments)}\n{(project / 'output.txt').read_text()}")


def kill(process: int) -> bool:
    """Kill a process; return whether it was still running."""
    ended, status = os.waitpid(process, os.WNOHANG)
    if not ended:
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
    return os.WIFSIGNALED(status)


def unreadable(run: Path) -> int:
    """Return how many checkpoints of a run cannot be read."""
    count = 0
    for path in run.glob("checkpoints/*.ckpt"):
        try:
            torch.load(path, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            print(f"{path}: {error}")
            count += 1
    return count


def leaves(node: Any, key: str = "") -> dict[str, Any]:
    """Return the values in nested dicts and lists, by their path."""
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    else:
        return {key: node}
    return {path: leaf for name, child in children for path, leaf in leaves(child, f"{key}.{name}").items()}


def differing(first: Path, second: Path) -> list[str]:
    """Return what differs between two runs: keys of last.ckpt, with weights, optimizer, random states, or metrics.csv."""
    a, b = (leaves(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)) for run in (first, second))

    def equal(x: Any, y: Any) -> bool:
        return torch.equal(x, y) if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) else x == y

    keys = [key for key in a.keys() | b.keys() if key not in a or key not in b or not equal(a[key], b[key])]
    if (first / "metrics.csv").read_bytes() != (second / "metrics.csv").read_bytes():
        keys.append("metrics.csv")
    return keys


def kill_at_random_moments(project: Path, kills: int, rng: random.Random) -> bool:
    """Kill and continue runs of all cases in turn until there are enough kills; say whether all ended as they should."""
    done = lost = bad = runs = 0
    different = []
    references: dict[str, float] = {}
    while done < kills:
        name = list(CASES)[runs % len(CASES)]
        arguments = [*CASES[name], *COMMON]
        if name not in references:
            begin = time.monotonic()
            finish(project, f"name={name}", *arguments)
            references[name] = time.monotonic() - begin
        run, runs = f"{name}-{runs}", runs + 1
        for _ in range(rng.randint(2, 8)):
            process = start(project, f"name={run}", *arguments)
            time.sleep(rng.uniform(0, references[name]))
            if not kill(process):
                break  # it had finished
            done += 1
            bad += unreadable(project / "runs" / run)
        before = len(list((project / "runs").glob(f"{run}*")))
        finish(project, f"name={run}", *arguments)
        lost += before > 1 or "finished" not in (project / "runs" / run / "summary.json").read_text()
        if keys := differing(project / "runs" / name, project / "runs" / run):
            different.append(f"{run}: {', '.join(keys[:5])}")
        print(f"{done:4} kills  {run}", flush=True)
    print(
        f"{done} kills in {runs} runs of {len(references)} configs: {lost} runs lost, {bad} unreadable checkpoints, {len(different)} runs different"
    )
    print(*different, sep="\n", end="")
    return not (lost or bad or different)


def kill_in_saves(project: Path, kills: int, rng: random.Random) -> bool:
    """Kill a run while it writes a checkpoint of some 100 MB; say whether its last.ckpt could be read each time."""
    run = project / "runs" / "large"
    folder = run / "checkpoints"
    done = readable = 0
    while done < kills:
        process = start(project, "name=large", *LARGE)
        saved = folder / "last.ckpt"
        seen = saved.stat().st_mtime_ns if saved.exists() else None
        while not saved.exists() or saved.stat().st_mtime_ns == seen:  # one whole save first
            time.sleep(0.002)
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(process, os.WNOHANG)[0]:
                    sys.exit((project / "output.txt").read_text())
        while not list(folder.glob(".*.unfinished")):
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.15))
        if not list(folder.glob(".*.unfinished")):
            kill(process)  # the save was over by then: another try
            continue
        kill(process)
        left = [f"{path.name} {path.stat().st_size >> 20} MB" for path in folder.glob(".*.unfinished")]
        if not left:
            continue
        done += 1
        readable += unreadable(run) == 0 and saved.exists()
        print(
            f"{done:4} kills in a save, left {', '.join(left)}; last.ckpt {saved.stat().st_size >> 20} MB", flush=True
        )
    print(f"{done} kills in a save: {readable} left a readable last.ckpt")
    return readable == done


def start_together(project: Path, runs: int) -> bool:
    """Start unnamed runs at once, then two of one name; say whether each had its folder and one of the two was refused."""
    before = set((project / "runs").glob("[!.]*"))
    processes = [start(project, "trainer=debug", "test=false") for _ in range(runs)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    folders = set((project / "runs").glob("[!.]*")) - before
    whole = [folder for folder in folders if "finished" in (folder / "summary.json").read_text()]
    print(
        f"{runs} unnamed runs at once: {codes.count(0)} ended well, {len(folders)} folders, {len(whole)} of them whole"
    )
    twins = [start(project, "name=twin", "model=mlp", *COMMON) for _ in range(2)]
    twin_codes = sorted(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in twins)
    print(f"two runs of one name at once: exit codes {twin_codes}")
    return codes == [0] * runs and len(whole) == len(folders) == runs and twin_codes == [0, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kills-in-save", type=int, default=0)
    parser.add_argument("--together", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if Path("/dev/shm").is_dir():
            os.environ["TMPDIR"] = "/dev/shm"  # for the runs: another file system than theirs
        project = Path(cookiecutter(str(Path(__file__).parent.parent), no_input=True, output_dir=folder))
        for path, text in FILES.items():
            (project / path).write_text(text)
        good = kill_at_random_moments(project, options.kills, rng) if options.kills else True
        good &= kill_in_saves(project, options.kills_in_save, rng) if options.kills_in_save else True
        good &= start_together(project, options.together) if options.together else True
    sys.exit(not good)


if __name__ == "__main__":
    main()
