"""A trained model as a file that runs elsewhere, its preprocessing within: ONNX or torch.export."""

import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from <<cookiecutter.package>>.data.inputs import Inputs
from <<cookiecutter.package>>.engine.console import be_quiet, say
from <<cookiecutter.package>>.engine.errors import ConfigError, TrainingError
from <<cookiecutter.package>>.engine.recorded_run import RecordedRun
from <<cookiecutter.package>>.engine.survival.durable_file import replacing

COMPARED, BATCH = 1000, 64  # samples of validation at most: one alone, then in batches of so many
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "pt2": ()}

Compute = Callable[..., Tensor]


class WithPreprocessing(nn.Module):
    """A model that takes what a file holds."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.model, self.inputs = model, inputs

    def forward(self, *raw: Tensor) -> Tensor:
        return self.model(*self.inputs(*raw))


def export(cfg: DictConfig) -> None:
    """Write the model of a run to a file, once what the file computes has been compared with what the model does."""
    be_quiet()
    if missing := [name for name in NEEDED[cfg.format] if not find_spec(name)]:
        ways = 'uv sync --extra export, or pip install -e ".[export]"'
        raise ConfigError(f"format={cfg.format} needs {', '.join(missing)}: {ways}")
    run = RecordedRun(cfg.run, cfg.checkpoint, cfg.data)
    inputs, samples = run.trained.inputs(), run.data.raw_samples("val", COMPARED)
    outputs, _ = run.validation(most=COMPARED)
    about = {
        "class_names": run.trained.class_names,
        "inputs": inputs.described(),
        "model": type(run.model).__name__,
        "checkpoint": f"{run.trained.path}, step {run.trained.checkpoint.get('global_step')}",
    }
    whole, texts = WithPreprocessing(run.model, inputs).eval(), {key: json.dumps(value) for key, value in about.items()}
    content, compute = {"onnx": to_onnx, "pt2": to_pt2}[cfg.format](whole, samples, inputs.names, texts)
    count = min(len(samples[0]), len(outputs))
    batches = [slice(0, 1), *(slice(start, min(start + BATCH, count)) for start in range(1, count, BATCH))]
    with torch.inference_mode():
        found = torch.cat([compute(*(tensor[rows] for tensor in samples)) for rows in batches])
    size = outputs[:count].abs().max().clamp(min=1)
    largest = ((found - outputs[:count]).abs().max() / size).item()
    compared = f"largest difference {largest:.1e} on {count} samples of validation, in batches of 1 and {BATCH}"
    if not largest <= cfg.tolerance:
        raise TrainingError(f"the {cfg.format} file is not the model: {compared}, above tolerance={cfg.tolerance}")
    path = Path(cfg.output or run.path / f"model.{cfg.format}")
    with replacing(path) as file:
        file.write(content)
    say(f"{path}: {len(content) / 1e6:.1f} MB, {compared}")
    if cfg.format == "onnx":
        say(f"\n{example(path, inputs, run.trained.class_names)}")


def to_onnx(
    whole: nn.Module, samples: Sequence[Tensor], names: Sequence[str], about: Mapping[str, str]
) -> tuple[bytes, Compute]:
    """Return the content of an .onnx file, and what it computes."""
    import onnxruntime

    warnings.filterwarnings("ignore", "# The axis name")  # of two inputs with one batch dimension
    batch = torch.export.Dim("batch")
    program: Any = torch.onnx.export(
        whole,
        tuple(tensor[:2] for tensor in samples),
        dynamo=True,
        dynamic_shapes=(tuple({0: batch} for _ in samples),),
        input_names=[*names],
        output_names=["outputs"],
        verbose=False,
    )
    model = program.model_proto
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    session = onnxruntime.InferenceSession(content := model.SerializeToString())

    def compute(*raw: Tensor) -> Tensor:
        (outputs,) = session.run(None, dict(zip(names, (tensor.contiguous().numpy() for tensor in raw), strict=True)))
        return torch.from_numpy(outputs)

    return content, compute


def to_pt2(
    whole: nn.Module, samples: Sequence[Tensor], names: Sequence[str], about: Mapping[str, str]
) -> tuple[bytes, Compute]:
    """Return the content of a .pt2 file, and what it computes."""
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        whole, tuple(tensor[:2] for tensor in samples), dynamic_shapes=(tuple({0: batch} for _ in samples),)
    )
    torch.export.save(program, file := io.BytesIO(), extra_files=dict(about))
    file.seek(0)
    return file.getvalue(), torch.export.load(file).module()


def example(path: Path, inputs: Inputs, class_names: Sequence[str]) -> str:
    """Return the lines that run an .onnx file on one sample, without torch and without this project."""
    result = "print(outputs[0])"
    if class_names:
        result = """shares = np.exp(outputs[0] - outputs[0].max())
print(json.loads(about["class_names"])[shares.argmax()], shares.max() / shares.sum())"""
    return f"""import json
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{path}")
about = session.get_modelmeta().custom_metadata_map
{inputs.example()}
(outputs,) = session.run(None, inputs)
{result}"""
