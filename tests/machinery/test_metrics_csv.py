"""metrics.csv holds what was logged, once, whatever happens to the file."""

import csv

import pytest
from my_project.engine.metrics_csv import MetricsCSV

TRAIN, VAL = {"epoch": 0, "train/loss": 0.5}, {"epoch": 0, "val/loss": 0.4}


@pytest.fixture
def logger(tmp_path):
    return MetricsCSV(str(tmp_path / "metrics.csv"))


def continued(logger, state):
    """The logger of the next start, which loads the checkpoint's state."""
    following = MetricsCSV(str(logger.path))
    following.load_state_dict(state)
    return following


def rows(logger):
    with logger.path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_and_columns_after_the_checkpoint_are_written_again_to_the_byte(logger):
    for step in range(3):
        logger.log_metrics(TRAIN, step)
    state = logger.state_dict()
    for metrics in (VAL, TRAIN, VAL):
        logger.log_metrics(metrics, 3)
    alone = logger.path.read_bytes()
    for _ in range(2):  # killed twice after the new column
        logger = continued(logger, state)
        for metrics in (VAL, TRAIN, VAL):
            logger.log_metrics(metrics, 3)
        assert logger.path.read_bytes() == alone


def test_a_checkpoint_before_the_first_row_begins_anew(logger):
    state = logger.state_dict()
    logger.log_metrics(TRAIN, 1)
    alone = logger.path.read_bytes()
    logger = continued(logger, state)
    logger.log_metrics(TRAIN, 1)
    assert logger.path.read_bytes() == alone


def test_a_long_file_is_cut_where_it_is_and_not_written_again(logger):
    logger.log_metrics(TRAIN, 0)
    for step in range(1, 3000):
        logger.log_metrics(TRAIN | {"note": step}, step)
    state, file = logger.state_dict(), logger.path.stat().st_ino
    alone = logger.path.read_bytes()
    logger.log_metrics(TRAIN, 3000)
    continued(logger, state)
    assert (logger.path.read_bytes(), logger.path.stat().st_ino) == (alone, file)


CHANGES = {
    "saved by a spreadsheet": lambda text: b"\xef\xbb\xbf" + text.replace(b",", b";").replace(b"\n", b"\r\n"),
    "a digit edited": lambda text: text.replace(b"0.5", b"0.6", 1),
    "truncated": lambda text: text[:-4],
    "binary": lambda text: b"\x00\xff" * 30,
    "empty": lambda text: b"",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_kept_when_a_run_continues(logger, capsys, change):
    logger.log_metrics(TRAIN, 1)
    logger.log_metrics(VAL, 1)
    changed = CHANGES[change](logger.path.read_bytes())
    state = logger.state_dict()
    logger.path.write_bytes(changed)
    logger = continued(logger, state)
    logger.log_metrics(TRAIN, 2)
    (kept,) = logger.path.parent.glob("metrics.csv.changed-*")
    assert kept.read_bytes() == changed
    assert f"it is kept as {kept.name}" in capsys.readouterr().out
    assert [row["step"] for row in rows(logger)] == ["2"]


@pytest.mark.parametrize(
    "change", [name for name in CHANGES if name != "a digit edited"]
)  # one of the same size is seen at the next start
def test_a_file_that_changes_while_training_is_kept(logger, capsys, change):
    logger.log_metrics(TRAIN, 1)
    changed = CHANGES[change](logger.path.read_bytes())
    logger.path.write_bytes(changed)
    logger.log_metrics(VAL, 2)
    logger.log_metrics(VAL, 3)
    (kept,) = logger.path.parent.glob("metrics.csv.changed-*")
    assert kept.read_bytes() == changed
    assert capsys.readouterr().out.count("is not as this run wrote it") == 1
    assert [row["step"] for row in rows(logger)] == ["2", "3"]


def test_a_file_that_is_gone_is_said(logger, capsys):
    logger.log_metrics(TRAIN, 1)
    state = logger.state_dict()
    logger.path.unlink()
    logger.log_metrics(TRAIN, 2)
    assert "metrics.csv is gone: a new one begins here" in capsys.readouterr().out
    logger.path.unlink()
    logger = continued(logger, state)
    assert "metrics.csv is gone: a new one begins here" in capsys.readouterr().out
    logger.log_metrics(TRAIN, 2)
    assert [row["step"] for row in rows(logger)] == ["2"]
