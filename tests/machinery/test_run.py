"""What a run does at its edges: no validation, no callback, a broken checkpoint, a failure, an earlier run of that name."""

import csv
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from conftest import PROJECT, summary_of
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities import rank_zero_only
from my_project.engine import tracking
from my_project.engine.console import warn
from my_project.engine.errors import ConfigError, TrainingError
from my_project.engine.output import Output, guard_output
from my_project.engine.provenance import git_state
from my_project.engine.run import train
from my_project.engine.survival.run_folder import Run
from my_project.engine.targets import find
from my_project.engine.tracking import begin, guarded
from omegaconf import OmegaConf

CPU = ["trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def run(compose_config):
    """A short, named run."""
    cfg = compose_config("name=short", "trainer.max_epochs=2", "trainer.accelerator=cpu")
    score = train(cfg)
    return cfg, score


def test_a_run_records_what_it_did(run):
    cfg, score = run
    run_dir, summary = Path(cfg.run_dir), summary_of(cfg)
    assert summary["status"] == "finished"
    assert summary["name"] == "short"
    assert summary["seed"] == 0
    assert summary["seconds"] > 0
    assert len(summary["split_sha256"]) == 64
    assert summary["class_names"] == list("0123456789")
    checkpoint = torch.load(run_dir / summary["checkpoint"], weights_only=True)
    assert checkpoint["Digits"]["class_names"] == summary["class_names"]
    assert summary["versions"]["torch"] == torch.__version__
    assert summary["metrics"]["val/loss"]["value"] == score
    assert (run_dir / summary["checkpoint"]).is_file()
    assert OmegaConf.load(run_dir / "config.yaml").trainer.max_epochs == 2
    with (run_dir / "metrics.csv").open() as file:
        assert {"epoch", "step", "lr", "train/loss", "val/loss", "val/accuracy"} <= next(csv.DictReader(file)).keys()


def test_a_summary_is_never_seen_half_written(tmp_path):
    run = Run(tmp_path, {})
    run.record(text="")
    writer = Thread(target=lambda: [run.record(text="x" * length) for length in range(0, 300_000, 3_000)])
    writer.start()
    while writer.is_alive():
        assert set(json.loads((tmp_path / "summary.json").read_text())["text"]) <= {"x"}


def test_the_commit_is_recorded_where_git_tracks_the_project(tmp_path):
    state = git_state()
    git = ["git", "-C", str(PROJECT)]
    tracked = subprocess.run([*git, "ls-files", "--error-unmatch", "train.py"], capture_output=True, check=False)
    if tracked.returncode:
        assert state is None
    else:
        assert state
        assert state["commit"] == subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()


def test_overwrite_starts_afresh_and_keeps_the_older_folder_aside(compose_config):
    cfg = compose_config("name=twice", "trainer=debug", "test=false")
    train(cfg)
    weights = (Path(cfg.run_dir) / "checkpoints" / "last.ckpt").read_bytes()
    train(compose_config("name=twice", "trainer=debug", "test=false", "seed=1", "overwrite=true"))
    (aside,) = Path(cfg.runs_dir).glob("twice.replaced-*")
    assert (aside / "checkpoints" / "last.ckpt").read_bytes() == weights
    assert summary_of(cfg)["seed"] == 1


def test_training_can_start_from_the_weights_of_a_checkpoint(run, compose_config):
    cfg, score = run
    weights = Path(cfg.run_dir) / "checkpoints" / "best.ckpt"
    again = train(compose_config(f"checkpoint={weights}", "trainer.max_epochs=1", "optimizer.lr=1e-6", "test=false"))
    assert again is not None
    assert again < 1.5 * score
    with pytest.raises(ConfigError, match="weights of another model"):
        train(compose_config(f"checkpoint={weights}", "model=mlp"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_broken_checkpoint_is_one_message(compose_config, tmp_path, content):
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken.ckpt cannot be read"):
        train(compose_config(f"checkpoint={path}"))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_in_every_precision_with_the_default_optimizer(compose_config, precision):
    cfg = compose_config("trainer=debug", f"trainer.precision={precision}", "name=" + precision)
    train(cfg)
    assert cfg.trainer.gradient_clip_val
    assert summary_of(cfg)["status"] == "finished"


@pytest.mark.parametrize("override", ["+trainer.max_steps=3", "+trainer.limit_val_batches=0"])
def test_a_run_without_validation_finishes(compose_config, override):
    cfg = compose_config(override, "trainer.max_epochs=1")
    assert train(cfg) is None
    assert summary_of(cfg)["status"] == "finished"


@pytest.mark.parametrize("override", ["monitor=val/acc", "scheduler.interval=batch"])
def test_what_lightning_refuses_is_one_message(compose_config, override):
    with pytest.raises(ConfigError, match=override.partition("=")[2]):
        train(compose_config("trainer=debug", "logger=csv", override))


def test_the_same_seed_gives_the_same_weights_and_seed_zero_counts(compose_config):
    def weights(seed):
        cfg = compose_config(f"seed={seed}", "trainer=debug", "trainer.accelerator=cpu", "test=false")
        train(cfg)
        return torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    first, second, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_one_batch_can_be_overfitted(compose_config):
    """Lightning then makes the loader again, unshuffled."""
    plain = ["loss.label_smoothing=0", "data.augment=null", "callbacks.early_stopping=null"]
    cfg = compose_config("+trainer.overfit_batches=1", "trainer.max_epochs=40", *plain)
    train(cfg)
    with (Path(cfg.run_dir) / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert losses[-1] < 0.05 < losses[0]


@pytest.mark.parametrize("callback", ["checkpoint", "early_stopping", "progress"])
def test_every_callback_can_be_switched_off(compose_config, capsys, callback):
    cfg = compose_config("trainer=debug", f"callbacks.{callback}=null")
    train(cfg)
    summary = summary_of(cfg)
    assert summary["status"] == "finished"
    assert "test/accuracy" in summary["metrics"]
    assert (summary["checkpoint"] is None) == (callback == "checkpoint")
    assert ("epoch 1/1" in capsys.readouterr().out) == (callback != "progress")


def test_a_seed_is_drawn_and_recorded_when_none_is_given(compose_config):
    seeds = set()
    for _ in range(2):
        cfg = compose_config("trainer=debug", "seed=null", "test=false")
        train(cfg)
        seeds.add(summary_of(cfg)["seed"])
    assert len(seeds) == 2


def test_a_run_that_cannot_start_leaves_everything_as_it_was(compose_config):
    cfg = compose_config("name=kept", "trainer=debug", "test=false")
    train(cfg)
    before = summary_of(cfg)
    with pytest.raises(ConfigError, match=r"trainer.precision must be 64, 32, .* got 7"):
        train(compose_config("name=kept", "overwrite=true", "trainer.precision=7"))
    assert summary_of(cfg) == before
    assert [path.name for path in Path(cfg.runs_dir).glob("kept*")] == ["kept"]


def test_a_summary_is_strict_json_even_when_a_metric_is_not_finite(tmp_path):
    Run(tmp_path, {}).record(metrics={"val/loss": {"value": float("nan")}})
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["metrics"]["val/loss"]["value"] == "NaN"


def test_an_error_in_the_model_keeps_its_type_and_marks_the_run_as_failed(compose_config, monkeypatch):
    cfg = compose_config("trainer=debug")

    def broken(self, images):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(find(cfg.model._target_), "forward", broken)
    with pytest.raises(ZeroDivisionError):
        train(cfg)
    assert summary_of(cfg)["status"] == "failed"


def test_metrics_of_many_numbers_are_kept_in_the_summary_of_the_split_they_were_measured_on(compose_config):
    block = "{_target_:torchmetrics.classification."
    metrics = [
        f"+metrics.matrix={block}MulticlassConfusionMatrix}}",
        f"+metrics.roc={block}MulticlassROC,thresholds:5}}",
    ]
    cfg = compose_config(
        *CPU, "trainer.max_epochs=1", *metrics, f"+metrics.each={block}MulticlassAccuracy,average:none}}"
    )
    train(cfg)
    found = summary_of(cfg)["metrics"]
    matrix = torch.tensor(found["test/matrix"]["value"])
    assert (matrix.sum().item(), found["test/matrix"]["num_samples"]) == (360, 360)
    assert (matrix.diag() / matrix.sum(1)).tolist() == pytest.approx(found["test/each"]["value"])
    assert matrix.diag().sum().item() / 360 == pytest.approx(found["test/accuracy"]["value"])
    assert len(found["test/roc"]["value"]) == 3  # false positives, true positives, thresholds
    assert not {"val/matrix", "val/each"} & found.keys()  # of the last epoch, not of the best


def test_a_new_run_begins_with_weights_and_optimizer_of_a_checkpoint(compose_config):
    first = compose_config(*CPU, "trainer.max_epochs=1", "test=false")
    train(first)
    path = Path(first.run_dir) / "checkpoints" / "last.ckpt"
    start = torch.load(path, weights_only=True)["optimizer_states"][0]["state"]
    steps = {}
    for optimizer_state in (True, False):
        limits = ["trainer.max_epochs=1", "+trainer.limit_train_batches=1", "test=false", "optimizer.lr=0.003"]
        cfg = compose_config(*CPU, *limits, f"checkpoint={path}", f"optimizer_state={optimizer_state}")
        train(cfg)
        last = torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]
        steps[optimizer_state] = last["state"][0]["step"].item()
        assert last["param_groups"][0]["max_lr"] == pytest.approx(0.003)
    assert steps == {True: start[0]["step"].item() + 1, False: 1}


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "process of the loader was killed"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible"), "/dev/shm, is full"),
        (RuntimeError("unable to write to file </torch_1_2_3>: No space left on device (28)"), "/dev/shm, is full"),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n"),
        (MemoryError("Unable to allocate 9 TiB for an array"), "lower data.batch_size"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB."), "lower data.batch_size"),
        (
            RuntimeError("[pair.cc:534] Connection closed by peer [127.0.0.1]:1"),
            "another process of this run has ended",
        ),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_one_message_with_its_remedy(compose_config, monkeypatch, error, remedy):
    cfg = compose_config("trainer=debug")

    def broken(self, images):
        raise error

    monkeypatch.setattr(find(cfg.model._target_), "forward", broken)
    with pytest.raises(TrainingError, match=re.escape(remedy)):
        train(cfg)
    assert remedy in summary_of(cfg)["error"]


def test_what_lightning_refuses_leaves_no_folder(compose_config):
    cfg = compose_config("trainer=debug", "logger=csv", "scheduler.interval=batch", "name=refused")
    with pytest.raises(ConfigError):
        train(cfg)
    assert not list(Path(cfg.runs_dir).glob("*refused*"))


class Server(DummyLogger):
    """A logger whose server does as it is told."""

    def __init__(self, answer: Callable[[], None]) -> None:
        super().__init__()
        self.answer, self.rows = answer, []

    @property
    def experiment(self):
        self.answer()

    def log_metrics(self, metrics, step=None):
        self.answer()
        self.rows.append(metrics)


def refuse():
    raise MissingKeyError("No key\nmore")


def fail():
    raise ConnectionError("Max retries exceeded")


class MissingKeyError(Exception):
    pass


def trainer_of(**servers):
    return Trainer(logger=[guarded(name, logger) for name, logger in servers.items()])


def test_a_guarded_logger_passes_on_what_is_logged_also_in_a_process_of_its_own(tmp_path):
    trainer = trainer_of(server=Server(lambda: None))
    begin(trainer)
    (server,) = trainer.loggers
    server.log_metrics({"a": 1}, step=0)
    server.finalize("success")
    assert server.rows == [{"a": 1}]
    copy = pickle.loads(pickle.dumps(guarded("rows", CSVLogger(tmp_path))))
    copy.log_metrics({"a": 1}, step=0)
    assert copy.guard.name == "rows"
    assert copy.experiment.metrics == [{"a": 1, "step": 0}]


def test_a_server_that_is_away_costs_one_warning_and_one_that_refuses_is_a_config_error(monkeypatch, capsys):
    warn.__wrapped__.cache_clear()
    trainer = trainer_of(away=Server(fail), up=(up := Server(lambda: None)))
    assert begin(trainer) == {}
    assert trainer.loggers == [up]
    up.answer = fail  # it goes down
    up.log_metrics({"a": 1}, step=0)
    up.log_metrics({"a": 2}, step=1)
    up.finalize("success")
    assert re.findall(r"logger\.(\w+) has failed \(Max retries exceeded\)", capsys.readouterr().err) == ["away", "up"]
    with pytest.raises(ConfigError, match=r"logger\.locked cannot begin: No key$"):
        begin(trainer_of(locked=Server(refuse)))
    monkeypatch.setattr(tracking, "PATIENCE", 0.1)
    trainer = trainer_of(late=Server(Event().wait))
    begin(trainer)
    assert trainer.loggers == []
    assert capsys.readouterr().err.count("no answer within 0.1 seconds") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_output_that_cannot_be_written_is_dropped(tmp_path):
    with suppress(OSError), Path("/dev/full").open("w") as full:  # closing it fails too
        print("text", file=Output(full), flush=True)
        print("more", file=Output(full), flush=True)
    print("text", file=Output(full), flush=True)  # closed now
    ascii_only = (tmp_path / "ascii").open("w", encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", ascii_only)
        patch.setattr(sys, "stderr", None)
        guard_output()
        print("caf\u00e9", flush=True)
        print("nobody", file=sys.stderr)
    assert (tmp_path / "ascii").read_text() == "caf\\xe9\n"


@pytest.mark.parametrize(
    "variables", ["RANK=1", "LOCAL_RANK=1", "SLURM_PROCID=1", "RANK=1 MASTER_ADDR=x", "RANK=0 WORLD_SIZE=1"]
)
def test_what_a_launcher_left_behind_does_not_make_this_process_another_one(compose_config, monkeypatch, variables):
    for variable in variables.split():
        monkeypatch.setenv(*variable.split("="))
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    train(cfg := compose_config("trainer=debug", "test=false"))
    assert summary_of(cfg)["status"] == "finished"


@pytest.mark.parametrize("variables", ["RANK=0 WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2"])
def test_a_launcher_that_starts_more_processes_is_refused_before_anything_is_written(
    compose_config, monkeypatch, variables
):
    for variable in variables.split():
        monkeypatch.setenv(*variable.split("="))
    cfg = compose_config("trainer=debug", "name=launched")
    with pytest.raises(ConfigError, match="a launcher has started 2"):
        train(cfg)
    assert not list(Path(cfg.runs_dir).glob("*launched*"))


def test_a_finished_run_goes_on_when_its_schedule_allows(compose_config, capsys):
    short = [*CPU, "scheduler=none", "+trainer.limit_train_batches=3", "test=false", "callbacks.early_stopping=null"]
    whole, halves = compose_config(*short, "trainer.max_epochs=4"), compose_config(*short, "trainer.max_epochs=2")
    train(whole), train(halves)
    train(compose_config(*short, "trainer.max_epochs=4", f"name={halves.name}"))
    assert "was finished after 2 epochs and goes on to 4" in capsys.readouterr().out
    states = [
        torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for cfg in (whole, halves)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert summary_of(halves)["stopped"] == "all 4 epochs"
    with pytest.raises(ConfigError, match="has another config"):  # fewer
        train(compose_config(*short, "trainer.max_epochs=3", f"name={halves.name}"))


@pytest.mark.parametrize("scheduler", ["onecycle", "cosine", "warmup_cosine"])
def test_a_schedule_that_was_planned_for_the_whole_run_says_how_to_go_on(compose_config, scheduler):
    short = [*CPU, f"scheduler={scheduler}", "+trainer.limit_train_batches=2", "test=false", f"name={scheduler}"]
    train(cfg := compose_config(*short, "trainer.max_epochs=1"))
    command = (
        f"name={scheduler}-2 checkpoint=.*/{scheduler}/checkpoints/last.ckpt optimizer_state=true trainer.max_epochs=4"
    )
    with pytest.raises(ConfigError, match=f"planned the learning rate for 1 epochs(.|\n)*{command}"):
        train(compose_config(*short, "trainer.max_epochs=5"))
    assert summary_of(cfg)["status"] == "finished"


def test_a_config_that_was_edited_by_hand_is_noticed(compose_config, capsys):
    short = [*CPU, "trainer.max_epochs=1", "+trainer.limit_train_batches=2", "test=false", "name=edited"]
    train(cfg := compose_config(*short))
    path = Path(cfg.run_dir) / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 1", 1))
    with pytest.raises(ConfigError, match="seed: 1 in the folder, 0 now"):
        train(compose_config(*short))
    assert "edited/config.yaml is not as the run wrote it: it was edited since" in capsys.readouterr().err
