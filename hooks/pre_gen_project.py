"""Refuse a project or package name that could not be installed or imported."""

import json
import keyword
import re
import sys
import unicodedata

project = <<cookiecutter.project | tojson>>
package = <<cookiecutter.package | tojson>>
# As JSON within a text: Python does not join the two halves in which JSON writes a letter beyond the first 65 536.
texts = {
    "description": json.loads(<<cookiecutter.description | tojson | tojson>>),
    "author": json.loads(<<cookiecutter.author | tojson | tojson>>),
}

# What the project keeps at its root, what it imports, and what those import: a package of the same name would hide it.
TAKEN = {
    "aiohttp", "antlr4", "filelock", "fsspec", "jinja2", "joblib", "lightning_utilities", "mpmath", "networkx", "packaging",
    "pip", "rich", "setuptools", "sympy", "threadpoolctl", "tqdm", "typing_extensions", "yaml",
    "configs", "data_files", "doctor", "evaluate", "hatchling", "hydra", "hydra_core", "lightning", "mlflow", "numpy",
    "omegaconf", "pre_commit", "pyright", "pytest", "pytorch_lightning", "ruff", "runs", "scikit_learn", "scipy", "sklearn",
    "tensorboard", "test", "tests", "torch", "torchmetrics", "train", "wandb",
    "export", "predict", "report", "sweep",
    "dateutil", "huggingface_hub", "matplotlib", "onnx", "onnxruntime", "onnxscript", "optuna", "pandas", "pil", "pillow",
    "pyarrow", "pytz", "safetensors", "six", "timm", "torchvision",
}  # fmt: skip


def taken(name):
    """Say whether an import or distribution name belongs to Python or to a dependency."""
    module = re.sub(r"[-.]+", "_", name.lower())
    return module in TAKEN or module in sys.stdlib_module_names


problem = None
if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9._-]{0,38}[A-Za-z0-9])?", project):
    problem = f"project must be 1 to 40 letters, digits, '-', '_' or '.', and start with a letter, got {project!r}"
elif taken(project):
    problem = f"project must not be the name of a Python module or of a dependency, got {project!r}"
elif not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", package):
    problem = f"package must be 1 to 40 lowercase letters, digits or '_', and start with a letter, got {package!r}"
elif keyword.iskeyword(package) or keyword.issoftkeyword(package) or taken(package):
    problem = f"package must not be a Python keyword, a Python module or a dependency, got {package!r}"
else:
    for question, text in texts.items():
        if not text.strip() or {unicodedata.category(letter) for letter in text} & {"Cc", "Zl", "Zp"}:
            problem = f"{question} must be one line of text, got {text!r}"

if problem:
    sys.exit(f"error: {problem}")
