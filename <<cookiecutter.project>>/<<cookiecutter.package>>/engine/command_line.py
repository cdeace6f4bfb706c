"""What the scripts say before torch is loaded, and how they end: an error that is no bug is one message and exit code 1."""

import functools
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from <<cookiecutter.package>>.engine.config_keys import check_config, no_key
from <<cookiecutter.package>>.engine.errors import ConfigError, TrainingError
from <<cookiecutter.package>>.engine.output import guard_output

Job = Callable[[DictConfig], Any]

failed: list[str] = []  # the overrides of the jobs that have failed; one empty text for a single run


def errors_in_one_line(job: Job, *, loads_torch: bool = True) -> Job:
    """Return the job of a script that checks its config, says it has begun, and prints an error that is no bug in a line.

    A bug keeps its traceback. In a sweep (`-m`) the failed job is named and the others run.
    """

    @functools.wraps(job)
    def run(cfg: DictConfig) -> Any:
        guard_output()
        try:
            check_config(cfg)
            if loads_torch and "torch" not in sys.modules and "LOCAL_RANK" not in os.environ:
                print("loading torch ...", flush=True)
            return job(cfg)
        except Exception as error:  # noqa: BLE001  also of a bug: the other jobs of a sweep are worth running
            name = HydraConfig.get().job.override_dirname if HydraConfig.get().mode == RunMode.MULTIRUN else ""
            failed.append(name)
            text = str(error) if isinstance(error, ConfigError | TrainingError) else traceback.format_exc()
            print(f"{name}: {text}" if name else text, file=sys.stderr, flush=True)
            return None

    return run


def run_script(main: Callable[[], Any]) -> int:
    """Run the main of a script and return its exit code: 1 if a job has failed, after naming those of a sweep."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises what it would print
    sys.argv[1:] = [as_meant(argument) for argument in sys.argv[1:]]
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        print(described(error), file=sys.stderr)
        return 1
    except ValueError as error:  # Hydra's, of a group set to null
        print(f"{error}: a group is left out with ~, as ~scheduler", file=sys.stderr)
        return 1
    if any(failed):
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def as_meant(argument: str) -> str:
    """Return an override as Hydra has to get it: `~` is the home folder, and a name of digits is a name, no number."""
    argument = re.sub(r"^([\w.+@/]+=)~(?=/|$)", lambda match: match[1] + os.path.expanduser("~"), argument)
    if argument.startswith("name="):
        return re.sub(r"(?<=[=,])[\d_]+(?=,|$)", r"'\g<0>'", argument)
    return argument


def described(error: HydraException | OmegaConfBaseException) -> str:
    """Return in one message why a config does not compose."""
    cause = error.__cause__
    override = re.match(r"Could not override '([^']+)'\.\s+To append to your config use (\S+)", str(error))
    if not override or not isinstance(cause, OmegaConfBaseException):
        text = str(error).partition("\nConfig search path")[0]
        return f"{text}\n{cause}" if cause else text
    key, addition = override.groups()
    plain: Any = OmegaConf.to_container(cause.parent_node._get_root())
    plain.pop("hydra", None)
    return no_key(key, plain) + f"\n{addition} adds it, where the target takes it" * (key.partition(".")[0] in plain)
