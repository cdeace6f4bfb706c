"""A run that is stopped continues with the same command and ends as if it had never been stopped."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import PROJECT, summary_of
from my_project.data import tensor_data
from my_project.data.images.digits import Digits
from my_project.engine.console import warn
from my_project.engine.errors import ConfigError, Preempted, TrainingError
from my_project.engine.run import train
from my_project.engine.survival.durable_file import replacing
from my_project.engine.survival.run_lock import locked
from my_project.engine.survival.signals import stop_signals
from my_project.engine.targets import find
from torch.utils.data import DataLoader

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
fcntl = pytest.importorskip("fcntl")
resource = pytest.importorskip("resource")

CPU = ["trainer.accelerator=cpu", "trainer.max_epochs=2", "test=false"]
DROPOUT = ["model=mlp", "model.dropout=0.5"]


@pytest.fixture
def stopped_at(monkeypatch):
    """Return a function that trains a config and sends itself a signal during an optimizer step."""

    def run(cfg, step, number=signal.SIGTERM):
        model = find(cfg.model._target_)
        sent = []

        def send(self, *args):
            if self.global_step == step and not sent:
                sent.append(number)
                os.kill(os.getpid(), number)

        with monkeypatch.context() as patch:
            patch.setattr(model, "on_train_batch_end", send)
            with pytest.raises(Preempted) as stopped:
                train(cfg)
        return stopped.value.code

    return run


def leaves(node, key=""):
    """The values in nested dicts and lists, by their path."""
    if not isinstance(node, (dict, list, tuple)):
        return {key: node}
    children = node.items() if isinstance(node, dict) else enumerate(node)
    return {path: leaf for name, child in children for path, leaf in leaves(child, f"{key}.{name}").items()}


def assert_same(first, second):
    """Two runs have the same weights, optimizer, scheduler, callbacks and random states, and the same metrics.csv."""
    a, b = (leaves(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)) for run in (first, second))
    assert a.keys() == b.keys()
    assert [
        key for key in a if not (torch.equal(a[key], b[key]) if torch.is_tensor(a[key]) else a[key] == b[key])
    ] == []
    assert (first / "metrics.csv").read_text() == (second / "metrics.csv").read_text()


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        (DROPOUT, (5, 10, 11, 14)),  # within an epoch, before and at its end
        ([*DROPOUT, "trainer.accumulate_grad_batches=2", "data.num_workers=2"], (3, 8)),
        ([*DROPOUT, "+trainer.val_check_interval=4", "callbacks.checkpoint.every_n_train_steps=3"], (8, 15)),
        (["model=cnn", "+trainer.max_steps=20", "scheduler=cosine", "optimizer=sgd"], (9, 15)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_stopped_run_ends_bit_for_bit_as_one_that_was_left_alone(compose_config, stopped_at, overrides, steps):
    short = [*CPU, *overrides, "+trainer.limit_train_batches=11", "+trainer.limit_val_batches=2"]
    train(alone := compose_config(*short))
    again = [*short, f"name={alone.name}-stopped"]
    for step in steps:
        cfg = compose_config(*again)
        assert stopped_at(cfg, step) == 143
        assert summary_of(cfg)["status"] == "interrupted"
    train(cfg := compose_config(*again))
    assert summary_of(cfg)["status"] == "finished"
    assert_same(Path(alone.run_dir), Path(cfg.run_dir))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 138), ("SIGINT", 130)])
def test_a_signal_saves_and_ends_the_run_with_the_shells_code_for_it(compose_config, stopped_at, capsys, name, code):
    before, of_terminal = (
        signal.getsignal(signal.SIGINT),
        signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # the tests may run under nohup
    cfg = compose_config(*CPU, *DROPOUT)
    assert stopped_at(cfg, 12, getattr(signal, name)) == code
    signal.signal(signal.SIGHUP, of_terminal)
    checkpoint = torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 12
    assert summary_of(cfg)["error"] == name
    assert f"stopped by {name}: the same command with name={cfg.name} continues" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("moment", ["train_dataloader", "val_dataloader", "test_dataloader"])
def test_a_signal_when_nothing_is_training_ends_the_run_at_once(compose_config, monkeypatch, moment):
    """While it is set up, in the sanity check and in the test."""
    overrides = [*CPU, *DROPOUT, "test=true"]
    cfg = compose_config(*overrides)
    with monkeypatch.context() as patch:
        patch.setattr(find(cfg.data._target_), moment, lambda self: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Preempted):
            train(cfg)
    assert summary_of(cfg)["status"] == "interrupted"
    train(again := compose_config(*overrides, f"name={cfg.name}"))
    train(alone := compose_config(*overrides))
    assert_same(Path(alone.run_dir), Path(again.run_dir))
    assert summary_of(again)["metrics"] == summary_of(alone)["metrics"]


def test_a_dataloader_of_the_owners_continues_in_its_order_too(compose_config, stopped_at, monkeypatch):
    def train_dataloader(self):
        generator = torch.Generator().manual_seed(3) if self.loading["batch_size"] == 16 else None
        batch_size, dataset = self.loading["batch_size"], self.splits["train"]
        return DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True, generator=generator)

    monkeypatch.setattr(Digits, "train_dataloader", train_dataloader)
    for batch_size in (16, 32):  # with a generator of its own, and without
        overrides = [*CPU, *DROPOUT, f"data.batch_size={batch_size}", "+trainer.limit_train_batches=11"]
        train(alone := compose_config(*overrides))
        again = compose_config(*overrides, f"name={alone.name}-stopped")
        stopped_at(again, 5)
        stopped_at(compose_config(*overrides, f"name={again.name}"), 15)
        train(compose_config(*overrides, f"name={again.name}"))
        assert_same(Path(alone.run_dir), Path(again.run_dir))


def test_a_run_that_failed_continues_when_the_cause_is_mended(compose_config, monkeypatch):
    cfg = compose_config(*CPU, *DROPOUT)
    with monkeypatch.context() as patch:
        patch.setattr(find(cfg.model._target_), "on_train_epoch_start", lambda self: 1 / self.current_epoch)
        patch.setattr(find(cfg.model._target_), "on_train_epoch_end", lambda self: 1 / (1 - self.current_epoch))
        with pytest.raises(ZeroDivisionError):
            train(cfg)
    assert summary_of(cfg)["status"] == "failed"
    train(compose_config(*CPU, *DROPOUT, f"name={cfg.name}"))
    assert summary_of(cfg)["status"] == "finished"
    assert "error" not in summary_of(cfg)


@pytest.fixture(scope="module")
def finished(compose_config):
    cfg = compose_config(*CPU, *DROPOUT, "name=finished", "trainer.max_epochs=1", "test=true")
    return cfg, train(cfg)


def test_a_finished_run_prints_its_result_and_is_not_trained_again(compose_config, finished, capsys):
    cfg, score = finished
    files = {path: path.stat().st_mtime_ns for path in Path(cfg.run_dir).rglob("*.*") if path.name != ".lock"}
    assert train(compose_config(*CPU, *DROPOUT, "name=finished", "trainer.max_epochs=1", "test=true")) == score
    assert files == {path: path.stat().st_mtime_ns for path in Path(cfg.run_dir).rglob("*.*") if path.name != ".lock"}
    assert f"{summary_of(cfg)['metrics']['test/loss']['value']:.4f}" in capsys.readouterr().out


def test_another_config_under_the_same_name_is_refused_with_what_differs(compose_config, finished):
    with pytest.raises(ConfigError) as refused:
        train(compose_config(*CPU, "model=cnn", "name=finished", "trainer.max_epochs=7", "test=true"))
    message = str(refused.value)
    assert "trainer.max_epochs: 1 in the folder, 7 now" in message
    assert "model._target_: " in message
    assert "optimizer" not in message


def test_a_name_in_use_is_refused_and_free_when_its_process_has_ended(compose_config, finished):
    cfg, _ = finished
    hold = "import sys; from pathlib import Path; from my_project.engine.survival.run_lock import locked\n"
    hold += "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, cfg.run_dir], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        for overwrite in ("false", "true"):
            with pytest.raises(ConfigError, match=f"is in use by process {holder.pid} on "):
                train(compose_config("name=finished", f"overwrite={overwrite}"))
        holder.kill()
    with locked(Path(cfg.run_dir)):
        pass


@pytest.fixture
def interrupted(compose_config, stopped_at):
    """A config whose run was stopped in its second epoch, and a function that composes it again."""
    cfg = compose_config(*CPU, *DROPOUT)
    stopped_at(cfg, 40)
    return cfg, lambda *more: compose_config(*CPU, *DROPOUT, f"name={cfg.name}", *more)


def break_last(path, how):
    content = path.read_bytes()
    checkpoint = torch.load(path, weights_only=True)
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "one bit":
        path.write_bytes(content[:-100_000] + bytes([content[-100_000] ^ 1]) + content[1 - 100_000 :])
    elif how == "no loops":
        torch.save(checkpoint | {"loops": None}, path)
    elif how == "foreign":
        torch.save([1, 2, 3], path)
    elif how == "weights of another model":
        torch.save(checkpoint | {"state_dict": {"other.weight": torch.zeros(2)}}, path)
    elif how == "weights only":
        torch.save({"state_dict": checkpoint["state_dict"]}, path)


@pytest.mark.parametrize(
    "how", ["truncated", "empty", "one bit", "foreign", "weights of another model", "weights only", "no loops"]
)
def test_a_last_checkpoint_that_cannot_be_used_is_one_message_and_never_a_fresh_start(interrupted, how):
    cfg, again = interrupted
    last = Path(cfg.run_dir) / "checkpoints" / "last.ckpt"
    break_last(last, how)
    broken, rows = last.read_bytes(), (Path(cfg.run_dir) / "metrics.csv").read_bytes()
    remedy = r"last\.ckpt .* move it away: without its last\.ckpt a run continues from"
    with pytest.raises(ConfigError, match=remedy) as refused:
        train(again())
    assert ("truncated" in str(refused.value)) == (how == "truncated")
    assert ("it is empty" in str(refused.value)) == (how == "empty")
    assert last.read_bytes() == broken
    assert (Path(cfg.run_dir) / "metrics.csv").read_bytes() == rows
    last.unlink()
    train(again())  # from best.ckpt, at the end of the first epoch
    assert (Path(cfg.run_dir) / "metrics.csv").read_text().startswith(rows.decode().rpartition("\n1,")[0])


def test_a_full_disk_is_one_message_and_leaves_the_checkpoint_before(interrupted):
    cfg, again = interrupted
    folder = Path(cfg.run_dir) / "checkpoints"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))  # bytes; a checkpoint has more
    try:
        with pytest.raises(TrainingError, match=r"\.ckpt cannot be written: File too large\. What was written before"):
            train(again())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert summary_of(cfg)["status"] == "failed"
    train(again())
    assert summary_of(cfg)["status"] == "finished"


def test_a_run_without_checkpoints_says_that_it_starts_again(interrupted, capsys):
    cfg, again = interrupted
    for path in (Path(cfg.run_dir) / "checkpoints").iterdir():
        path.unlink()
    train(again())
    assert "has no checkpoint: it starts again from the beginning" in capsys.readouterr().out
    steps = [line.split(",")[1] for line in (Path(cfg.run_dir) / "metrics.csv").read_text().splitlines()[1:]]
    assert steps == sorted(steps, key=int)


def test_a_folder_that_is_no_run_is_left_alone(compose_config):
    cfg = compose_config(*CPU, "name=stranger")
    (Path(cfg.run_dir) / "checkpoints").mkdir(parents=True)
    (Path(cfg.run_dir) / "checkpoints" / "last.ckpt").write_text("precious")
    with pytest.raises(ConfigError, match=r"is not empty and has no config\.yaml"):
        train(cfg)
    assert (Path(cfg.run_dir) / "checkpoints" / "last.ckpt").read_text() == "precious"


def test_a_run_continued_without_exact_resume_keeps_its_rows(compose_config, stopped_at):
    overrides = [*CPU, *DROPOUT, "callbacks.exact_resume=null", "trainer.log_every_n_steps=10"]
    cfg = compose_config(*overrides)
    stopped_at(cfg, 40)
    rows = (Path(cfg.run_dir) / "metrics.csv").read_text()
    train(compose_config(*overrides, f"name={cfg.name}"))
    assert (Path(cfg.run_dir) / "metrics.csv").read_text().startswith(rows)


@pytest.mark.parametrize("rows", ["", "epoch,step\n", "\x00\xff junk\n"])
def test_a_changed_metrics_csv_is_kept_and_does_not_stop_a_run(interrupted, capsys, rows):
    cfg, again = interrupted
    (Path(cfg.run_dir) / "metrics.csv").write_text(rows)
    train(again())
    assert "metrics.csv is not as this run wrote it: it is kept as metrics.csv.changed-" in capsys.readouterr().out
    (kept,) = Path(cfg.run_dir).glob("metrics.csv.changed-*")
    assert kept.read_text() == rows
    assert summary_of(cfg)["status"] == "finished"


def test_data_that_has_changed_is_refused(interrupted, monkeypatch):
    _, again = interrupted
    monkeypatch.setattr(tensor_data, "split_sha256", lambda splits: "other")
    with pytest.raises(ConfigError, match="data has changed since the run"):
        train(again())


def test_a_drawn_seed_is_kept(compose_config, stopped_at):
    cfg = compose_config(*CPU, *DROPOUT, "seed=null")
    stopped_at(cfg, 40)
    again = compose_config(*CPU, *DROPOUT, "seed=null", f"name={cfg.name}")
    train(again)
    assert again.seed == cfg.seed == summary_of(cfg)["seed"]


@pytest.mark.parametrize("guarantee", ["exact_resume", "preemption", "finite_loss", "checkpoint"])
def test_without_one_of_the_guarantees_the_others_still_run(compose_config, guarantee):
    cfg = compose_config(*CPU, *DROPOUT, f"callbacks.{guarantee}=null", "trainer.plugins=null")
    train(cfg)
    assert summary_of(cfg)["status"] == "finished"


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch_and_the_checkpoint_before(
    compose_config, monkeypatch
):
    cfg = compose_config(*CPU, *DROPOUT)
    step = find(cfg.model._target_).training_step

    def overflows(self, batch, batch_idx):
        return step(self, batch, batch_idx) * (float("inf") if self.global_step == 40 else 1)

    monkeypatch.setattr(find(cfg.model._target_), "training_step", overflows)
    with pytest.raises(TrainingError, match="the loss is inf in epoch 2, batch 5"):
        train(cfg)
    assert summary_of(cfg)["status"] == "failed"
    offending = torch.load(Path(cfg.run_dir) / "not_finite.pt", weights_only=True)
    assert (offending["epoch"], offending["batch_idx"], offending["loss"]) == (1, 5, float("inf"))
    assert offending["batch"][0].shape == (32, 1, 8, 8)
    assert torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 35


def test_weights_that_are_not_finite_are_never_saved(compose_config, monkeypatch):
    cfg = compose_config(*CPU, *DROPOUT, "callbacks.checkpoint.every_n_train_steps=1")

    def spoil(self, optimizer):
        if self.global_step == 20:
            next(self.parameters()).grad.fill_(float("nan"))

    monkeypatch.setattr(find(cfg.model._target_), "on_before_optimizer_step", spoil)
    with pytest.raises(TrainingError, match="weights are not finite after step 21"):
        train(cfg)
    assert torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 20


def test_a_monitor_that_is_not_logged_is_one_message(compose_config):
    with pytest.raises(ConfigError, match="monitor=val/acc is not logged; did you mean val/accuracy"):
        train(compose_config(*CPU, "monitor=val/acc", "mode=max", "callbacks.early_stopping=null"))


@pytest.mark.parametrize("overrides", [[], ["+trainer.val_check_interval=4"], ["+trainer.max_steps=11"]], ids=str)
def test_a_signal_within_a_validation_saves_at_once_and_the_run_ends_as_one_that_was_left_alone(
    compose_config, monkeypatch, overrides
):
    short = [*CPU, *DROPOUT, *overrides, "+trainer.limit_train_batches=11", "data.eval_batch_size=64", "test=true"]
    train(alone := compose_config(*short))
    cfg = compose_config(*short)
    model = find(cfg.model._target_)
    step = model.validation_step

    def validation_step(self, batch, batch_idx):
        step(self, batch, batch_idx)
        if self.trainer.global_step >= 11 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the validation went on")

    with monkeypatch.context() as patch:
        patch.setattr(model, "validation_step", validation_step)
        with pytest.raises(Preempted):
            train(cfg)
    saved = torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] >= 11
    assert summary_of(cfg)["status"] == "interrupted"
    train(again := compose_config(*short, f"name={cfg.name}"))
    assert_same(Path(alone.run_dir), Path(again.run_dir))
    assert summary_of(again)["metrics"] == summary_of(alone)["metrics"]


def test_a_signal_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in stop_signals()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert signal.SIGHUP in stop_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_cannot_sync_costs_one_warning(compose_config, monkeypatch, capsys, number):
    def fsync(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    warn.__wrapped__.cache_clear()
    train(cfg := compose_config("trainer=debug", "test=false"))
    assert summary_of(cfg)["status"] == "finished"
    assert capsys.readouterr().err.count("cannot sync") == 1


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_costs_one_warning(compose_config, monkeypatch, capsys, number):
    def lockf(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", lockf)
    warn.__wrapped__.cache_clear()
    train(cfg := compose_config("trainer=debug", "test=false"))
    assert summary_of(cfg)["status"] == "finished"
    assert capsys.readouterr().err.count("has no locks") == 1


def test_a_disk_that_fails_is_not_taken_for_one_that_cannot_sync(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(TrainingError, match="cannot be written"), replacing(tmp_path / "file"):
        pass


def test_all_paths_to_a_folder_are_one_lock(tmp_path):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    hold = "import sys; from pathlib import Path; from my_project.engine.survival.run_lock import locked\n"
    hold += "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path / "link" / "a"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="is in use by process"), locked(tmp_path / "runs" / "a"):
            pass
        holder.kill()


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_folder_that_is_moved_while_its_run_trains_stops_it_and_is_not_made_again(compose_config, monkeypatch, how):
    cfg = compose_config(*CPU, *DROPOUT)
    folder = Path(cfg.runs_dir) / f"{how}-meanwhile"

    def on_train_epoch_start(self):
        if self.current_epoch == 1:
            shutil.move(folder, folder.with_name(f"{how}-elsewhere"))
            if how == "deleted":
                shutil.rmtree(folder.with_name(f"{how}-elsewhere"))
            elif how == "replaced":
                folder.mkdir()

    monkeypatch.setattr(find(cfg.model._target_), "on_train_epoch_start", on_train_epoch_start)
    with pytest.raises(TrainingError, match="was moved, deleted or replaced while its run was training"):
        train(compose_config(*CPU, *DROPOUT, f"name={folder.name}"))
    assert folder.exists() == (how == "replaced")
    assert not list(folder.glob("*"))


def test_a_run_that_failed_before_its_first_checkpoint_gives_its_name_back(compose_config, monkeypatch):
    cfg = compose_config(*CPU, *DROPOUT, "name=early")
    with monkeypatch.context() as patch:
        patch.setattr(find(cfg.model._target_), "on_train_epoch_end", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(cfg)
    train(again := compose_config(*CPU, *DROPOUT, "name=early", "optimizer.lr=0.002"))
    assert summary_of(again)["status"] == "finished"
    (aside,) = Path(cfg.runs_dir).glob("early.replaced-*")
    assert "ZeroDivisionError" in (aside / "summary.json").read_text()


def test_an_emptied_summary_is_named_and_the_run_continues_from_its_checkpoint(interrupted, capsys):
    cfg, again = interrupted
    warn.__wrapped__.cache_clear()
    (Path(cfg.run_dir) / "summary.json").write_text("")
    train(again())
    said = capsys.readouterr()
    assert said.err.count("summary.json is empty") == 1
    assert "from last.ckpt" in said.out
    assert summary_of(cfg)["status"] == "finished"
