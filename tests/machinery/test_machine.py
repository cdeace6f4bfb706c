"""The threads of torch: what was asked, and else never more than a container may use."""

import math

import pytest
import torch
from conftest import summary_of
from my_project.engine import machine
from my_project.engine.errors import ConfigError
from my_project.engine.run import train


@pytest.fixture(autouse=True)
def threads_kept():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("max 100000\n", math.inf), ("150000 100000\n", 1.5), ("50000 100000\n", 0.5), ("", math.inf)],
)
def test_the_quota_of_a_container_is_read_from_its_control_group(tmp_path, text, cpus):
    (tmp_path / "cpu.max").write_text(text)
    assert machine.cpu_quota(str(tmp_path / "cpu.max")) == cpus
    assert machine.cpu_quota(str(tmp_path / "missing")) == math.inf


@pytest.mark.parametrize(
    ("quota", "asked", "threads"),
    [(math.inf, None, 4), (2.5, None, 2), (0.5, None, 1), (8.0, None, 4), (2.5, 3, 3)],
)
def test_threads_are_those_of_torch_within_the_quota_unless_a_number_is_asked_for(monkeypatch, quota, asked, threads):
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)
    torch.set_num_threads(4)
    machine.set_threads(asked)
    assert torch.get_num_threads() == threads


def test_less_than_one_thread_is_refused():
    with pytest.raises(ConfigError, match="threads must be at least 1"):
        machine.set_threads(0)


def test_the_threads_of_a_run_are_in_its_summary(compose_config):
    cfg = compose_config("trainer=debug", "test=false", "threads=3")
    train(cfg)
    assert summary_of(cfg)["threads"] == torch.get_num_threads() == 3
