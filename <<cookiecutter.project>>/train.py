"""Train a model, then test its best checkpoint.

python train.py                                          # everything as in configs/train.yaml
python train.py optimizer=sgd optimizer.lr=0.05          # swap a file, change a value
python train.py trainer.accelerator=gpu trainer.devices=2
python train.py name=baseline seed=1                     # writes runs/baseline/
python train.py --help                                   # every choice and every key
"""

import sys

import hydra
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.command_line import errors_in_one_line, run_script
from <<cookiecutter.package>>.engine.hydra_version import VERSION_BASE


@hydra.main(config_path="configs", config_name="train", **VERSION_BASE)
@errors_in_one_line
def main(cfg: DictConfig) -> float | None:
    """Return the monitored score of the best checkpoint."""
    # torch and lightning load here, once the config composes
    from <<cookiecutter.package>>.engine.run import train

    return train(cfg)


if __name__ == "__main__":
    sys.exit(run_script(main))
