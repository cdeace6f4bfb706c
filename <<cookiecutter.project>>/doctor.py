"""Look for what is wrong with the data, the model and the training, and for where the time goes.

python doctor.py                                         # everything as in configs/train.yaml
python doctor.py optimizer=sgd optimizer.lr=0.05         # whatever train.py takes
python doctor.py trainer.accelerator=gpu
python doctor.py --help                                  # every choice and every key
"""

import sys

import hydra
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.command_line import errors_in_one_line, run_script
from <<cookiecutter.package>>.engine.hydra_version import VERSION_BASE


@hydra.main(config_path="configs", config_name="train", **VERSION_BASE)
@errors_in_one_line
def main(cfg: DictConfig) -> None:
    """Print a line for each rule and write doctor.json; exit with 1 if something is wrong."""
    # torch and lightning load here, once the config composes
    from <<cookiecutter.package>>.engine.doctor.examine import examine

    if examine(cfg):
        sys.exit(1)


if __name__ == "__main__":
    if "--help" in sys.argv:
        sys.argv.remove("--help")
        sys.argv[1:1] = ["--help", "hydra/help=doctor"]
    sys.exit(run_script(main))
