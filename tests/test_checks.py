"""Every project that trains wrong is found, with the right message and place; no healthy one is stopped."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import PROJECT
from omegaconf import DictConfig
from projects.healthy import HEALTHY
from projects.project import Project, Wrong
from projects.unseen import UNSEEN
from projects.wrong import WRONG

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # torch and Lightning warn of some of this
Configure = Callable[..., DictConfig]

CHECKED = ["healthy.LogitsAdjusted"]  # healthy, and told of a score that is not that of the logits


def every(projects: list[Any]) -> list[Any]:
    return [pytest.param(project, id=project.id) for project in projects]


@pytest.fixture(scope="module")
def configure(compose_config: Callable[..., DictConfig]) -> Iterator[Configure]:
    """Return a function that composes the config of a project; all share this process, and runs/ of one folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)

        def configured(project: Project, *overrides: str, checks: str = "error") -> DictConfig:
            os.environ.pop("MY_PROJECT_RUN_NAME", None)  # of the run before
            return compose_config("runs_dir=runs", *project.command_line, f"checks={checks}", *overrides)

        yield configured


def train(cfg: DictConfig) -> str | None:
    """Run train.py in this process, and return the message that stopped it."""
    from my_project.engine.errors import RuleBroken
    from my_project.engine.run import train

    try:
        train(cfg)
    except RuleBroken as error:
        return str(error)
    return None


def says(message: str, project: Wrong) -> bool:
    """Say whether one finding of a message names the rule that the project breaks, and the place."""
    from my_project.engine.checks.rules import RULES

    rule = f"\n  rule    {RULES[project.rule].title}\n"
    found = [finding for finding in message.split("\n\n") if rule in finding and project.says in finding]
    wheres = [finding.partition("\n  where   ")[2].partition("\n")[0] for finding in found]
    return any(place in where for where in wheres for place in project.places)


@pytest.mark.xdist_group("checks doctor")
def test_every_rule_has_a_wrong_project(configure):
    from my_project.engine.checks.rules import RULES

    of_the_machine = {"build", "speed"}
    assert {project.rule for project in WRONG} == RULES.keys() - of_the_machine


@pytest.mark.xdist_group("checks unchecked")
@pytest.mark.parametrize("project", every([*WRONG, *UNSEEN]))
def test_a_wrong_project_runs_through_unchecked(configure, project):
    assert train(configure(project, checks="skip")) is None


@pytest.mark.xdist_group("checks checked")
@pytest.mark.parametrize("project", every([project for project in WRONG if not project.doctor]))
def test_a_wrong_project_is_told_why_and_where(configure, project, capfd):
    message, printed = train(configure(project)), capfd.readouterr().err
    assert (message is None) == project.check, message or printed
    assert says(message or printed, project), message or printed


@pytest.mark.xdist_group("checks checked")
@pytest.mark.parametrize("project", every(UNSEEN))
def test_what_is_listed_as_unseen_is_not_seen(configure, project, capfd):
    assert train(configure(project)) is None
    assert "\n  rule    " not in capfd.readouterr().err, f"{project.id} is seen: move it to wrong.py"


@pytest.mark.xdist_group("checks healthy")
@pytest.mark.parametrize("project", every(HEALTHY))
def test_a_healthy_project_is_left_alone(configure, project, capfd):
    assert train(configure(project)) is None
    assert "check: " not in capfd.readouterr().err or project.id in CHECKED


@pytest.mark.xdist_group("checks healthy")
def test_a_run_that_continues_is_not_stopped_and_its_best_score_is_no_leftover(configure, capfd):
    project = Project("healthy.BestMetric")
    cfg = configure(project, "name=continued")
    from my_project.models.healthy import BestMetric

    def die(self) -> None:
        if self.current_epoch == 1:
            raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BestMetric, "on_train_epoch_start", die)
        with pytest.raises(InterruptedError):
            train(cfg)
    capfd.readouterr()
    assert train(configure(project, "name=continued")) is None
    printed = capfd.readouterr()
    assert "continues" in printed.out
    assert "  rule    " not in printed.err


@pytest.mark.xdist_group("checks healthy")
def test_a_wrong_run_that_continues_is_only_told(configure):
    from lightning import LightningModule, Trainer
    from my_project.engine.checks.findings import Finding
    from my_project.engine.checks.training_checks import TrainingChecks

    checks, trainer = TrainingChecks(), Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.ckpt_path = "last.ckpt"
    checks.setup(trainer, LightningModule(), "fit")
    checks.on_fit_start(trainer, LightningModule())
    checks.report([Finding("order", "Net.training_step (net.py:12)", "never cleared")])
    assert [outcome["verdict"] for outcome in checks.outcomes] == ["check"]


@pytest.mark.xdist_group("checks healthy")
def test_what_is_intended_is_not_said_and_the_entry_is_the_name_without_the_line(configure, capfd):
    project = next(project for project in WRONG if project.id == "order.NeverCleared")
    message = train(configure(project)) or ""
    assert "'intended=[order:NeverCleared.training_step]'" in message
    assert train(configure(project, "intended=[order:NeverCleared.training_step]")) is None
    assert "  rule    " not in capfd.readouterr().err


@pytest.mark.xdist_group("checks healthy")
def test_a_run_with_checks_ends_with_the_weights_of_one_without_and_nothing_remains_in_its_steps(
    configure, monkeypatch
):
    import torch
    from my_project.engine.checks.training_checks import TrainingChecks

    last: list[Any] = []
    monkeypatch.setattr(TrainingChecks, "teardown", lambda self, *args, **kwargs: last.append(dict(vars(self))))
    project = Project(overrides=("model=mlp", "trainer.max_epochs=3", "++trainer.limit_train_batches=20"), name="equal")
    for answer in ("error", "skip"):
        assert train(configure(project, f"name={answer}", checks=answer)) is None
    checked, unchecked = (
        torch.load(f"runs/{answer}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for answer in ("error", "skip")
    )
    assert all(torch.equal(value, unchecked[name]) for name, value in checked.items())
    assert last[0]["on_train_batch_start"] is last[0]["on_train_batch_end"] is last[0]["on_train_epoch_start"] is None
