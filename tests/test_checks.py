"""Every project that trains wrong is stopped with the right message, and no healthy one is."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig
from projects.healthy import HEALTHY
from projects.project import Project, Wrong
from projects.wrong import WRONG

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # torch and Lightning warn of some of this
Configure = Callable[..., DictConfig]


def every(projects: list[Any]) -> list[Any]:
    return [pytest.param(project, id=project.id) for project in projects]


@pytest.fixture(scope="module")
def configure(compose_config: Callable[..., DictConfig]) -> Configure:
    """Return a function that composes the config of a project; all share this process."""

    def configured(project: Project, checks: str = "error") -> DictConfig:
        os.environ.pop("MY_PROJECT_RUN_NAME", None)  # of the run before
        return compose_config(*project.command_line, f"checks={checks}")

    return configured


def train(cfg: DictConfig) -> str | None:
    """Run train.py in this process, and return the message that stopped it."""
    from my_project.engine.errors import RuleBroken
    from my_project.engine.run import train

    try:
        train(cfg)
    except RuleBroken as error:
        return str(error)
    return None


def title_of(rule: str) -> str:
    from my_project.engine.checks.finding import RULES

    return RULES[rule][0]


def says(message: str, project: Wrong) -> bool:
    """Say whether one finding of a message names the rule that the project breaks, and the place."""
    rule = f"\n  rule    {title_of(project.rule)}\n"
    found = [finding for finding in message.split("\n\n") if rule in finding]
    wheres = [finding.partition("\n  where   ")[2].partition("\n")[0] for finding in found]
    return any(place in where for where in wheres for place in project.places)


@pytest.mark.xdist_group("checks doctor")
def test_every_rule_has_a_wrong_project(configure):
    from my_project.engine.checks.finding import RULES

    of_the_machine = {"build", "speed"}
    assert {project.rule for project in WRONG} == RULES.keys() - of_the_machine


@pytest.mark.xdist_group("checks unchecked")
@pytest.mark.parametrize("project", every(WRONG))
def test_a_wrong_project_runs_through_unchecked(configure, project):
    assert train(configure(project, checks="skip")) is None


@pytest.mark.xdist_group("checks checked")
@pytest.mark.parametrize("project", every([project for project in WRONG if not project.doctor]))
def test_a_wrong_project_is_stopped_and_told_why_and_where(configure, project, capfd):
    message, printed = train(configure(project)), capfd.readouterr().err
    assert (message is None) == project.warning, message or printed
    assert says(message or printed, project), message or printed


@pytest.mark.xdist_group("checks healthy")
@pytest.mark.parametrize("project", every(HEALTHY))
def test_a_healthy_project_is_left_alone(configure, project, capfd):
    assert train(configure(project)) is None
    printed = capfd.readouterr().err
    assert "wrong: " not in printed
    assert "check: " not in printed
