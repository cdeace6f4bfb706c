"""A run that has been trained, in Python: `from <<cookiecutter.package>> import load_run`."""

import csv
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from omegaconf import OmegaConf
from torch import Tensor

from <<cookiecutter.package>>.engine.build import build, plain
from <<cookiecutter.package>>.engine.console import warn
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.survival import checkpoints
from <<cookiecutter.package>>.engine.survival.run_folder import load_run
from <<cookiecutter.package>>.engine.targets import check_blocks
from <<cookiecutter.package>>.engine.trained import Trained


class RecordedRun:
    """What the folder of a run holds; what takes time is read when it is asked for.

    Args:
        run_dir: the folder, such as runs/baseline.
        checkpoint: best, last or the path of a file.
        data: values that replace those of the run's data, such as where they lie now.
    """

    def __init__(self, run_dir: str | Path, checkpoint: str = "best", data: Mapping[str, Any] | None = None) -> None:
        self.path, self.which = Path(run_dir), checkpoint
        self.cfg, self.summary = load_run(run_dir)
        self.cfg.data.merge_with(data or {})
        self.metrics: dict[str, dict[str, Any]] = self.summary.get("metrics", {})  # `value` and `num_samples` by name

    @cached_property
    def trained(self) -> Trained:
        """What the checkpoint holds."""
        path = checkpoints.find_checkpoint(self.path, self.which, self.summary)
        trained = Trained(path, self.cfg.model._target_)
        if self.which == "best":
            checkpoints.check_best(trained.checkpoint, path, self.summary)
        return trained

    @property
    def model(self) -> LightningModule:
        """The model with the weights of the checkpoint, in eval mode, on the CPU."""
        return self.trained.model

    @cached_property
    def data(self) -> LightningDataModule:
        """The data of the run, encoded as the checkpoint knows them."""
        check_blocks(OmegaConf.create({"data": plain(self.cfg.data)}))
        data = build(self.cfg.data)
        checkpoints.restore_data(data, self.trained.checkpoint)
        if getattr(data, "split_sha256", None) != self.summary.get("split_sha256"):
            warn(f"the data are not those that {self.path} was trained with (split_sha256)")
        return data

    def validation(self, device: torch.device | str = "cpu", most: int | None = None) -> tuple[Tensor, Tensor]:
        """Return outputs (N, ...), float32, and targets (N, ...) of the validation split, or of its first batches with `most`."""
        model, data, parts, count = self.model.to(device), self.data, [], 0
        data.setup("validate")
        for batch in data.val_dataloader():
            *inputs, targets = data.on_after_batch_transfer([tensor.to(device) for tensor in batch], 0)
            with torch.inference_mode():
                parts.append((model(*inputs).float().cpu(), targets.cpu()))
            count += len(targets)
            if most and count >= most:
                break
        outputs, targets = map(torch.cat, zip(*parts, strict=True))
        return outputs, targets

    @cached_property
    def history(self) -> Any:
        """What metrics.csv holds, a column for each name, None where nothing was logged; a DataFrame if pandas is installed."""
        if not (self.path / "metrics.csv").is_file():
            raise ConfigError(f"{self.path} has no metrics.csv: nothing was logged")
        with (self.path / "metrics.csv").open(newline="") as file:
            rows = [{k: float(v) if v else None for k, v in row.items()} for row in csv.DictReader(file)]
        columns = {name: [row[name] for row in rows] for name in (rows or [{}])[0]}
        try:
            import pandas as pd  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError:
            return columns
        return pd.DataFrame(columns)
