"""Data, models, and the engine that trains them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from <<cookiecutter.package>>.engine.recorded_run import RecordedRun


def load_run(run_dir: str, checkpoint: str = "best") -> "RecordedRun":
    """Return a trained run: its model, data, cfg, metrics and history.

    Args:
        run_dir: its folder, such as runs/baseline.
        checkpoint: best, last or the path of a file.
    """
    # torch and lightning load here
    from <<cookiecutter.package>>.engine.recorded_run import RecordedRun

    return RecordedRun(run_dir, checkpoint)
