"""Predict new inputs with a run, or with nothing but its checkpoint.

python predict.py run=runs/baseline input=images output=predictions.csv      # a file, a folder, a glob, a .txt of paths
python predict.py run=runs/baseline input=image.png                          # prints its classes
python predict.py checkpoint=best.ckpt input=images output=predictions.jsonl top=5
python predict.py run=runs/baseline input=images output=predictions.csv calibrate=true
"""

import sys

import hydra
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.command_line import errors_in_one_line, run_script
from <<cookiecutter.package>>.engine.hydra_version import VERSION_BASE


@hydra.main(config_path="configs", config_name="predict", **VERSION_BASE)
@errors_in_one_line
def main(cfg: DictConfig) -> None:
    """Write, or print, what a model says of new inputs."""
    # torch and lightning load here, once the config composes
    from <<cookiecutter.package>>.engine.predict import predict

    predict(cfg)


if __name__ == "__main__":
    # Which keys there are is for the run to say: engine/targets.py refuses the others.
    sys.argv[1:] = [f"++{word}" if word.startswith(("data.", "trainer.")) else word for word in sys.argv[1:]]
    sys.exit(run_script(main))
