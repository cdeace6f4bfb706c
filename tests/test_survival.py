"""A run that is killed, told to stop, or started twice loses nothing and ends as one that was left alone."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import TEMPLATE, generate
from soak_resume import differing

pytestmark = pytest.mark.slow
SHORT = ["model=mlp", "model.dropout=0.5", "trainer.accelerator=cpu", "callbacks.early_stopping=null"]


def test_ten_kills_at_random_moments_three_in_a_save_and_twenty_runs_at_once_lose_nothing():
    """`tests/soak_resume.py` does the same with more."""
    options = ["--kills", "10", "--kills-in-save", "3", "--together", "20"]
    soak = subprocess.run(
        [sys.executable, "tests/soak_resume.py", *options], cwd=TEMPLATE, capture_output=True, text=True, check=False
    )
    assert soak.returncode == 0, soak.stdout + soak.stderr
    print(soak.stdout)
    assert re.search(
        r"^1\d kills in \d+ runs .*: 0 runs lost, 0 unreadable checkpoints, 0 runs different$",
        soak.stdout,
        re.MULTILINE,
    )
    assert "\n3 kills in a save: 3 left a readable last.ckpt\n" in soak.stdout
    assert "\n20 unnamed runs at once: 20 ended well, 20 folders, 20 of them whole\n" in soak.stdout


def until(condition, process):
    """Wait until something is true while a process runs."""
    while not condition():
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("options", "number"),
    [(["trainer.devices=2"], signal.SIGTERM), (["data.num_workers=2"], signal.SIGINT)],
    ids=["two processes", "a loader with processes"],
)
def test_all_processes_stop_at_one_step_and_the_run_continues_exactly(tmp_path, options, number):
    project = generate(tmp_path)
    command = [sys.executable, "train.py", *SHORT, *options, "trainer.max_epochs=12"]
    subprocess.run([*command, "name=alone"], cwd=project, check=True)

    stopped = project / "runs" / "stopped"
    with subprocess.Popen([*command, "name=stopped"], cwd=project, start_new_session=True) as process:
        until((stopped / "checkpoints" / "last.ckpt").exists, process)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # a terminal sends Ctrl-C to all of them
        else:
            process.send_signal(number)
        assert process.wait() == 128 + number
    assert '"status": "interrupted"' in (stopped / "summary.json").read_text()
    assert torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] > 0
    until(lambda: not running(process.pid), subprocess.Popen(["sleep", "30"]))  # no process of it is left behind

    subprocess.run([*command, "name=stopped"], cwd=project, check=True)
    assert differing(project / "runs" / "alone", stopped) == []


def running(group: int) -> bool:
    """Say whether a process of a group is alive."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    project = generate(tmp_path)
    model = project / "my_project" / "models" / "slow.py"
    model.write_text(
        "import time\n\nfrom my_project.models.mlp import MLP\n\n\nclass Slow(MLP):\n"
        "    def training_step(self, batch, batch_idx):\n        print('step', flush=True)\n        time.sleep(600)\n"
    )
    (project / "configs" / "model" / "slow.yaml").write_text("_target_: my_project.models.slow.Slow\n")
    command = [sys.executable, "train.py", "model=slow", "trainer.accelerator=cpu"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
        assert "step\n" in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
