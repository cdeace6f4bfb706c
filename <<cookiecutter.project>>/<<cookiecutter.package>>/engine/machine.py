"""What is set for the whole process, and what this machine has: accelerator, seed, threads, precision."""

import math
import os
import secrets
from contextlib import suppress
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import seed_everything
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.build import build
from <<cookiecutter.package>>.engine.errors import ConfigError

# Where launchers say which process this is, and how many they have started.
LAUNCHERS = {"RANK": "WORLD_SIZE", "LOCAL_RANK": "WORLD_SIZE", "SLURM_PROCID": "SLURM_STEP_NUM_TASKS"}
LAUNCHERS |= {"OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE", "PMI_RANK": "PMI_SIZE"}


def set_machine(cfg: DictConfig) -> None:
    """Set seed, threads and precision as the config says; draw a seed into `cfg.seed` when it is null.

    Raises:
        ConfigError: a value is wrong, or this machine lacks the accelerator.
    """
    set_rank(cfg)
    set_seed(cfg)
    forks = str(cfg.trainer.get("strategy")).endswith(("notebook", "fork"))  # threads that torch has begun end there
    set_threads(cfg.threads or (1 if forks else None))
    check_accelerator(cfg.trainer.accelerator)
    if not torch.cuda.is_available():
        # Lightning sets it to 1, and Adam would look for the driver of a GPU in every step.
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    # How exactly a GPU multiplies float32 matrices: torch itself leaves TF32 off for them, and on for convolutions.
    torch.set_float32_matmul_precision(cfg.matmul_precision)


def set_rank(cfg: DictConfig) -> None:
    """Set which process of the run this is; what a launcher has left behind in the environment does not count.

    Raises:
        ConfigError: a launcher has started other processes than `trainer.devices` says.
        SystemExit: each job of a sweep would have several.
    """
    sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    launched = LAUNCHERS.keys() & os.environ.keys()
    if not (sweep or launched):
        return
    check_accelerator(cfg.trainer.accelerator)
    trainer = build(cfg.trainer, logger=False, enable_checkpointing=False)
    needed = trainer.world_size
    if sweep and needed > 1:
        raise SystemExit(f"-m cannot train with {needed} processes each: use sweep.py, or trainer.devices=1")
    started = max([1, *(int(os.environ.get(LAUNCHERS[name]) or 1) for name in launched)])
    waits = needed > 1 and trainer.strategy.cluster_environment.creates_processes_externally
    if started != needed and (started > 1 or waits):
        raise ConfigError(
            f"trainer.devices={cfg.trainer.devices} makes {needed} process{'es' * (needed > 1)} in all, but a launcher has "
            f"started {started}: set trainer.devices to those of a machine and trainer.num_nodes, or start one process. "
            f"If there is no launcher: unset {' '.join(sorted(launched | {LAUNCHERS[name] for name in launched}))}"
        )
    rank_zero_only.rank = trainer.global_rank


def set_seed(cfg: DictConfig) -> None:
    """Seed Python, numpy and torch, the loader's processes included; draw a seed when `cfg.seed` is null."""
    if cfg.seed is None and rank_zero_only.rank == 0:
        cfg.seed = secrets.randbelow(2**32)  # Lightning's launcher hands it to the other processes
    elif cfg.seed is None and "PL_GLOBAL_SEED" in os.environ:
        cfg.seed = int(os.environ["PL_GLOBAL_SEED"])
    elif not (type(cfg.seed) is int and 0 <= cfg.seed < 2**32):
        raise ConfigError(f"seed must be a whole number below 2**32, or null without a launcher, got {cfg.seed!r}")
    cfg.seed = seed_everything(cfg.seed, workers=True, verbose=False)


def set_threads(threads: int | None) -> None:
    """Set how many threads torch uses on the CPU: by itself as many as it likes, within the CPU quota of a container."""
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be at least 1, or null for torch's own choice, got {threads}")
    torch.set_num_threads(threads or max(1, int(min(torch.get_num_threads(), cpu_quota()))))


def cpu_quota(path: str = "/sys/fs/cgroup/cpu.max") -> float:
    """Return how many CPUs a container may use at a time, infinity where nothing limits them (Linux control groups)."""
    with suppress(OSError, ValueError):  # another system; or the word max, which is no number
        quota, period = Path(path).read_text().split()
        return int(quota) / int(period)
    return math.inf


def check_accelerator(requested: str) -> None:
    """Raise ConfigError, saying what this machine has, when it lacks the requested accelerator."""
    known = set(AcceleratorRegistry.available_accelerators())
    present = {name for name in known if AcceleratorRegistry[name]["accelerator"].is_available()}
    wanted = {"cuda", "mps"} if requested == "gpu" else {requested}
    if wanted & present or not wanted & known:  # Lightning itself answers to auto and to an unknown name
        return
    raise ConfigError(
        f"trainer.accelerator={requested}, but this machine offers only {', '.join(sorted(present))} to torch "
        f"{torch.__version__} (CUDA: {torch.version.cuda or 'not built in'}). Use trainer.accelerator=auto"
    )
