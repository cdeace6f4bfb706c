"""Score a checkpoint of a finished run.

python evaluate.py run=runs/baseline                     # the best checkpoint on the test split
python evaluate.py run=runs/baseline split=val checkpoint=last
python evaluate.py run=runs/baseline trainer.accelerator=cpu
"""

import sys

import hydra
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.command_line import errors_in_one_line, run_script
from <<cookiecutter.package>>.engine.hydra_version import VERSION_BASE


@hydra.main(config_path="configs", config_name="evaluate", **VERSION_BASE)
@errors_in_one_line
def main(cfg: DictConfig) -> None:
    """Print the metrics of one split."""
    # torch and lightning load here, once the config composes
    from <<cookiecutter.package>>.engine.run import evaluate

    evaluate(cfg)


if __name__ == "__main__":
    sys.exit(run_script(main))
