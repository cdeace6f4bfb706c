"""Score a checkpoint of a run.

python evaluate.py run=runs/baseline                     # the best checkpoint on the test split
python evaluate.py run=runs/baseline split=val checkpoint=last
python evaluate.py run=runs/baseline trainer.accelerator=cpu
python evaluate.py run=runs/baseline data.batch_size=8   # any value of the run's data, such as where it lies now
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
    # Which keys there are is for the run to say, and for what they configure: engine/run.py refuses the others.
    sys.argv[1:] = [f"++{word}" if word.startswith(("data.", "trainer.")) else word for word in sys.argv[1:]]
    sys.exit(run_script(main))
