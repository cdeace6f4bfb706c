"""Write the model of a run to a file that runs elsewhere, its preprocessing within.

python export.py run=runs/baseline                       # ONNX: runs/baseline/model.onnx
python export.py run=runs/baseline format=pt2 output=model.pt2
"""

import sys

import hydra
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.command_line import errors_in_one_line, run_script
from <<cookiecutter.package>>.engine.hydra_version import VERSION_BASE


@hydra.main(config_path="configs", config_name="export", **VERSION_BASE)
@errors_in_one_line
def main(cfg: DictConfig) -> None:
    """Write the model of a run to a file that runs elsewhere."""
    # torch and lightning load here, once the config composes
    from <<cookiecutter.package>>.engine.export import export

    export(cfg)


if __name__ == "__main__":
    # Which keys there are is for the run to say: engine/targets.py refuses the others.
    sys.argv[1:] = [f"++{word}" if word.startswith(("data.", "trainer.")) else word for word in sys.argv[1:]]
    sys.exit(run_script(main))
