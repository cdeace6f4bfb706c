"""Compare runs: a table here, and a page of all runs, with links to the report of each.

python report.py                                         # writes runs/index.html
python report.py sort=-test/accuracy                     # the highest first
python report.py 'filter=finished optimizer.lr=0.01'    # only lines that hold all of these words
python report.py run=runs/baseline                       # write runs/baseline/report.html again
"""

import sys
from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.command_line import errors_in_one_line, run_script
from <<cookiecutter.package>>.engine.hydra_version import VERSION_BASE


@hydra.main(config_path="configs", config_name="report", **VERSION_BASE)
@partial(errors_in_one_line, loads_torch=False)
def main(cfg: DictConfig) -> None:
    """Print a line for each experiment, or write the page of one run again."""
    # what draws loads here, once the config composes
    from <<cookiecutter.package>>.engine.report.page import write_page
    from <<cookiecutter.package>>.engine.report.runs import show_runs

    if cfg.run:
        write_page(page := Path(cfg.run, "report.html"))
        print(page)
    else:
        show_runs(Path(cfg.runs_dir), words=cfg.filter or "", sort=cfg.sort, most=cfg.lines)


if __name__ == "__main__":
    sys.exit(run_script(main))
