"""What the scripts answer on the command line: help and mistakes at once, a run without a network."""

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios

import pytest
import torch
from conftest import capture, generate, with_hydra

# Runs a script and says at the end which heavy packages it imported.
WITNESS = """
import atexit, runpy, sys
heavy = ("torch", "lightning", "torchmetrics", "sklearn", "numpy")
atexit.register(lambda: print("imported:", *(name for name in heavy if name in sys.modules), file=sys.stderr))
sys.path.insert(0, ".")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# Runs a script with every connection refused.
OFFLINE = """
import runpy, sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise PermissionError(f"{event} {args}")

sys.addaudithook(refuse)
sys.path.insert(0, ".")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def summary_of(project, name):
    return json.loads((project / "runs" / name / "summary.json").read_text())


@pytest.mark.parametrize(
    ("command", "returncode", "answer"),
    [
        (["train.py", "--help"], 0, "Groups and their options"),
        (["train.py", "--cfg", "job"], 0, "max_epochs: 20"),
        (
            ["train.py", "trainer.acelerator=gpu"],
            1,
            "no key; did you mean trainer.accelerator?\n+trainer.acelerator=gpu adds it",
        ),
        (["train.py", "optimiser.lr=0.5"], 1, "optimiser.lr is no key; did you mean optimizer.lr?\n"),
        (["train.py", "lr=0.5"], 1, "lr is no key; did you mean optimizer.lr?\n"),
        (["train.py", "+lr=0.5"], 1, "lr is no key; did you mean optimizer.lr?\n"),
        (["doctor.py", "+lr=0.5"], 1, "lr is no key; did you mean optimizer.lr?\n"),
        (["evaluate.py", "run=runs/none"], 1, "run must be the folder of a run, as run=runs/baseline, got runs/none"),
        (["evaluate.py", "split=dev"], 1, "split must be test or val, got 'dev'"),
        (["train.py", "data.val_fraction=10"], 1, "data.val_fraction must be between 0 and 1, got 10"),
        (["train.py", "checkpoint=none.ckpt"], 1, "checkpoint=none.ckpt does not exist"),
        (["train.py", "name=a/b"], 1, "name must be one folder"),
        (["train.py", "seed=${paths.x}"], 1, ": Interpolation key 'paths.x' not found\n"),
        (["train.py", "run=runs/x"], 1, "run is no key; did you mean run_dir?\n"),
        (["train.py", "data=null"], 1, "a group is left out with ~"),
        (["train.py", "model=resnt"], 1, "Available options in 'model'"),
        (["evaluate.py", "--help"], 0, "Usage: python evaluate.py run=runs/<name>"),
        (["predict.py", "--help"], 0, "Usage: python predict.py run=runs/<name>"),
        (["predict.py", "input=configs"], 1, "run must be the folder of a run, as run=runs/baseline, got None"),
        (
            ["predict.py", "checkpoint=none.ckpt", "input=configs"],
            1,
            "run is null, and checkpoint=none.ckpt is no file",
        ),
        (
            ["predict.py", "run=runs/x", "input=none.png"],
            1,
            "input must be a file, a folder, a glob or a list, got none.png",
        ),
        (["predict.py", "run=runs/x"], 1, "input must be a file, a folder, a glob or a list, got None"),
        (["predict.py", "input=configs", "output=x.xls"], 1, "output must end in .csv, .parquet, .jsonl, got x.xls"),
        (["predict.py", "input=configs", "top=0"], 1, "top must be at least 1, or null, got 0"),
        (["predict.py", "input=configs", "calibrate=true"], 1, "calibrate=true needs run="),
        (["predict.py", "input=configs", "trainer.devices=2"], 1, "trainer.devices must be 1 to predict, got 2"),
        (["predict.py", "inputs=configs"], 1, "inputs is no key; did you mean input?\n"),
        (["export.py", "--help"], 0, "Usage: python export.py run=runs/<name>"),
        (["export.py", "run=runs/none"], 1, "run must be the folder of a run, as run=runs/baseline, got runs/none"),
        (["export.py", "format=tflite"], 1, "format must be onnx or pt2, got 'tflite'"),
        (["export.py", "tolerance=small"], 1, "tolerance must be float, got 'small'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_composing_a_config_does_not_import_torch(project, command, returncode, answer):
    finished = capture(project, "-c", WITNESS, *command)
    assert finished.returncode == returncode
    assert answer in finished.stdout + finished.stderr
    assert "imported:\n" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_help_shows_every_group_with_its_options(project):
    text = capture(project, "train.py", "--help").stdout
    for group in ("data", "model", "optimizer", "scheduler", "trainer", "logger", "experiment"):
        options = sorted(path.stem for path in (project / "configs" / group).glob("*.yaml"))
        assert f"{group}: {', '.join(options)}\n" in text


BROKEN_MODEL = """
from {package}.models.mlp import MLP


class Broken(MLP):
    def forward(self, images):
        return undefined_name
"""

BARE_MODEL = """
from lightning import LightningModule


class Bare(LightningModule):
    pass
"""

MISTAKES = {
    "+trainer.max_epoch=5": "trainer.max_epoch is not an argument of lightning.Trainer; did you mean max_epochs?",
    "+model.chanels=3": "model.chanels is not an argument of my_project.models.cnn.CNN; did you mean channels?",
    "+metrics.f1.averag=micro": "Unexpected keyword arguments: `averag`\nIt takes: num_classes, top_k, average",
    "model._target_=my_project.models.cnn.CN": "model._target_: my_project.models.cnn.CN does not exist; did you mean CNN?",
    "model._target_=my_project.models.cn.CNN": "there is no module 'my_project.models.cn'",
    "data.val_fraction=10": "data.val_fraction must be between 0 and 1, got 10",
    "data.val_fraction=abc": "data.val_fraction must be float, got 'abc'",
    "data.num_workers=-1": "data.num_workers must be at least 0, got -1",
    "data.batch_size=0": "data.batch_size must be at least 1, got 0",
    "checkpoint=missing.ckpt": "checkpoint=missing.ckpt does not exist",
    "trainer.precision=7": "trainer.precision must be 64, 32, 16",
    "trainer.accelerator=quantum": "accelerator='quantum'",
    "optimizer.lr=-1": "Invalid learning rate: -1",
    "seed=-1": "seed must be a whole number",
    "name=a/b": "name must be one folder",
}
if not torch.cuda.is_available():
    MISTAKES["trainer.accelerator=gpu"] = "trainer.accelerator=gpu, but this machine offers only cpu"


@pytest.mark.slow
def test_a_mistake_is_one_message_and_a_bug_keeps_its_traceback(tmp_path, run_scripts):
    project = generate(tmp_path)
    (project / "my_project" / "models" / "broken.py").write_text(BROKEN_MODEL.format(package="my_project"))
    (project / "configs" / "model" / "broken.yaml").write_text("_target_: my_project.models.broken.Broken\n")
    (project / "my_project" / "models" / "bare.py").write_text(BARE_MODEL)
    (project / "configs" / "model" / "bare.yaml").write_text("_target_: my_project.models.bare.Bare\n")
    commands = [["train.py", override] for override in MISTAKES]
    commands += [["train.py", "model=bare", "optimizer.lr=5"]]
    commands += [["evaluate.py"], ["evaluate.py", "run=runs/none"], ["evaluate.py", "run=runs/none", "split=dev"]]
    messages = [
        *MISTAKES.values(),
        "optimizer.lr=5: my_project.models.bare.Bare takes no optimizer",
        "run must be the folder of a run",
        "got runs/none: it has no config.yaml",
        "split must be",
    ]
    *finished, broken = run_scripts(project, *commands, ["train.py", "model=broken"])
    for command, message, result in zip(commands, messages, finished, strict=True):
        assert result.returncode == 1, command
        assert message in result.stderr, (command, result.stderr)
        assert "Traceback" not in result.stderr, (command, result.stderr)
        assert result.stdout == ""
    assert broken.returncode == 1
    assert "Traceback" in broken.stderr
    assert "undefined_name" in broken.stderr
    # What is refused leaves no folder; the bug does.
    statuses = [json.loads(path.read_text())["status"] for path in project.glob("runs/*/summary.json")]
    assert statuses == ["failed"]
    assert len(list(project.glob("runs/*"))) == 1


@pytest.mark.slow
def test_the_default_run_needs_no_network_is_accurate_and_says_what_one_wants_to_know(tmp_path):
    """Ten seeds reach 0.989 on average and 0.981 at least."""
    project = generate(tmp_path)
    finished = capture(project, "-c", OFFLINE, "train.py", "name=default")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    summary = summary_of(project, "default")
    assert summary["status"] == "finished"
    assert summary["metrics"]["test/accuracy"]["value"] > 0.97
    assert summary["metrics"]["test/accuracy"]["num_samples"] == 360
    # Not in a terminal: no bar, no advertising.
    first, overview, *lines = [line for line in finished.stdout.splitlines() if line]
    assert first == "loading torch ..."
    parts = overview.split(", ")
    assert parts[0] == "CNN"
    assert parts[-4:] == [
        "1,149 train + 288 val + 360 test",
        parts[-3],
        "32-true",
        f"{summary['threads']} {parts[-1].split()[1]}",
    ]
    epochs, end = lines[:20], lines[20:]
    assert all(
        re.fullmatch(rf"epoch {epoch:>2}/20  train loss .* s", line) for epoch, line in enumerate(epochs, start=1)
    )
    assert max(map(len, epochs)) <= 80
    assert [line.split()[0] for line in end] == [
        "report",
        "metric",
        "val/loss",
        "test/loss",
        "test/accuracy",
        "test/f1",
        "stopped",
        "run",
        "next",
    ]
    assert end[-3] == f"stopped  all 20 epochs; the best was epoch {summary['best_epoch']}"
    assert end[-2] == "run      runs/default"


@pytest.mark.slow
def test_in_a_terminal_a_bar_comes_and_goes_and_the_lines_stay(tmp_path):
    project = generate(tmp_path)
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))  # 30 lines of 100 characters
    command = [sys.executable, "train.py", "trainer.max_epochs=2", "callbacks.progress.refresh_rate=1"]
    with subprocess.Popen(command, cwd=project, stdout=end, stderr=end) as process:
        os.close(end)
        output = b""
        with contextlib.suppress(OSError):  # the terminal closes when the run ends
            while chunk := os.read(terminal, 65536):
                output += chunk
    text = output.decode()
    assert process.returncode == 0, text
    assert "Epoch 1:" in text
    assert "Epoch 2:" in text
    kept = [line.split("\r")[-1].strip() for line in text.replace("\r\n", "\n").split("\n")]
    assert sum(line.startswith("epoch ") for line in kept) == 2
    assert sum(line.startswith("test/") for line in kept) == 3
    assert not any("it/s" in line for line in kept if line.startswith(("epoch ", "test/", "run ", "next ")))
    assert kept[-2].startswith("next     python train.py ")


@pytest.mark.slow
def test_a_run_says_why_it_stopped_and_what_to_try_next(tmp_path, run_scripts):
    project = generate(tmp_path)
    small = ["model=mlp", "model.hidden_sizes=[8]", "+trainer.limit_train_batches=4", "test=false"]
    cases = {
        "all": (["trainer.max_epochs=2"], "all 2 epochs"),
        "patience": (["optimizer.lr=1e-12", "callbacks.early_stopping.patience=2"], "early stopping after epoch "),
        "steps": (["+trainer.max_steps=6"], "trainer.max_steps=6 in epoch 2"),
    }
    commands = [["train.py", *small, *overrides, f"name={name}"] for name, (overrides, _) in cases.items()]
    following = []
    for (name, (_, why)), result in zip(cases.items(), run_scripts(project, *commands), strict=True):
        assert result.returncode == 0, result.stderr
        stopped, run, following_line = [line for line in result.stdout.splitlines() if line][-3:]
        summary = summary_of(project, name)
        assert summary["stopped"].startswith(why)
        assert stopped == f"stopped  {summary['stopped']}; the best was epoch {summary['best_epoch']}"
        assert run == f"run      runs/{name}"
        following.append(shlex.split(following_line, comments=True)[2:])
    assert all("name=" not in word for command in following for word in command)
    for command, result in zip(following, run_scripts(project, *following), strict=True):
        assert result.returncode == 0, (command, result.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("hydra", ["1.3.8", "1.4.0rc3"])
def test_a_sweep_goes_on_after_a_job_that_failed_and_names_it(tmp_path, hydra):
    project = generate(tmp_path)
    env = with_hydra(tmp_path, hydra)
    short = ["trainer.max_epochs=1", "+trainer.limit_train_batches=20", "test=false"]
    finished = capture(project, "train.py", "-m", "optimizer.lr=0.01,1e30,0.001", *short, env=env)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    named, *_, last = [line for line in finished.stderr.splitlines() if "1e" in line]
    assert re.match(r"\S*optimizer\.lr=1e\+?30\S*: the (loss|weights) (is|are) ", named)
    assert re.match(r"failed: \S*optimizer\.lr=1e\+?30\S*$", last)
    statuses = [json.loads(path.read_text())["status"] for path in project.glob("runs/*/summary.json")]
    assert sorted(statuses) == ["failed", "finished", "finished"]


OBJECTS = """
import functools
from lightning import LightningModule
from omegaconf import OmegaConf
from torch import nn
from my_project.data.images.digits import Digits
from my_project.models.mlp import MLP


class WithPartial(MLP):
    def __init__(self, make=functools.partial(nn.Linear, 3), **training):
        super().__init__(**training)
        self.save_hyperparameters("make")


class WithModule(MLP):
    def __init__(self, net=None, **training):
        super().__init__(**training)
        self.save_hyperparameters({"net": nn.Linear(2, 2)})


class WithConfig(MLP):
    def __init__(self, **training):
        super().__init__(**training)
        self.save_hyperparameters({"sizes": OmegaConf.create([1, 2])})


class WithFunction(Digits):
    def __init__(self, **loading):
        super().__init__(**loading)
        self.save_hyperparameters({"transform": functools.partial(print)})
"""


@pytest.mark.slow
def test_a_hyperparameter_that_is_no_plain_data_is_refused_by_its_key_before_the_first_step(tmp_path, run_scripts):
    project = generate(tmp_path)
    (project / "my_project" / "models" / "objects.py").write_text(OBJECTS)
    refused = {
        "model=mlp model._target_=my_project.models.objects.WithPartial": "model.make must be",
        "model=mlp model._target_=my_project.models.objects.WithModule": "model.net must be",
        "model=mlp model._target_=my_project.models.objects.WithConfig": "model.sizes must be",
        "data._target_=my_project.models.objects.WithFunction": "data.transform must be",
    }
    commands = [["train.py", *overrides.split()] for overrides in refused]
    for message, result in zip(refused.values(), run_scripts(project, *commands), strict=True):
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1].startswith(message)  # Lightning warns of a module by itself
        assert "Traceback" not in result.stderr
        assert "epoch" not in result.stdout
    assert not list(project.glob("runs/*"))


@pytest.mark.slow
def test_every_logger_works_and_the_csv_is_always_written(tmp_path, run_scripts):
    project = generate(tmp_path)
    loggers = ["csv", "tensorboard", "wandb", "mlflow"]
    commands = [["train.py", "trainer=debug", f"logger={logger}", f"name={logger}"] for logger in loggers]
    for result in run_scripts(project, *commands, **{**os.environ, "WANDB_MODE": "offline"}):
        assert result.returncode == 0, result.stderr
    for logger in loggers:
        assert (project / "runs" / logger / "metrics.csv").read_text().count("\n") >= 3
    assert list(project.glob("runs/tensorboard/events.out.tfevents.*"))
    assert list(project.glob("runs/wandb/wandb/offline-run-*/run-*.wandb"))
    assert (project / "runs" / "mlflow.db").is_file()


@pytest.mark.slow
def test_two_processes_score_each_sample_once(tmp_path):
    project = generate(tmp_path)
    overrides = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=2", "name=two"]
    subprocess.run([sys.executable, "train.py", *overrides], cwd=project, check=True)
    recorded = summary_of(project, "two")["metrics"]
    assert recorded["test/accuracy"]["num_samples"] == 360
    printed = capture(project, "evaluate.py", "run=runs/two").stdout
    assert f"test/accuracy   {recorded['test/accuracy']['value']:>8.4f}       360" in printed
    assert [path.name for path in (project / "runs").iterdir()] == ["two"]


@pytest.mark.slow
def test_a_compiled_model_leaves_a_checkpoint_that_loads_uncompiled(tmp_path):
    project = generate(tmp_path)
    overrides = ["model=mlp", "model.compile=true", "trainer=debug", "name=compiled"]
    subprocess.run([sys.executable, "train.py", *overrides], cwd=project, check=True)
    load = (
        "import torch; from my_project.models.mlp import MLP\n"
        "path = 'runs/compiled/checkpoints/best.ckpt'\n"
        "assert not any('_orig_mod' in key for key in torch.load(path, weights_only=True)['state_dict'])\n"
        "model = MLP.load_from_checkpoint(path)\n"
        "assert model._compiled_call_impl is None\n"
        "assert model.eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)\n"
    )
    subprocess.run([sys.executable, "-c", load], cwd=project, check=True)
