"""The page of a run and the page of all runs, opened in a real browser; what they say is checked against other means."""

import base64
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PROJECT, TEMPLATE, summary_of
from my_project.data.tables.columns import learn_columns
from my_project.engine.build import build
from my_project.engine.errors import ConfigError
from my_project.engine.redact import redacted
from my_project.engine.report.evaluation import Evaluation, bootstrap, calibration, wilson
from my_project.engine.report.page import write_page
from my_project.engine.report.runs import lines_of, read_runs, show_runs
from my_project.engine.run import evaluate, train
from PIL import Image
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.functional.classification import multiclass_calibration_error

SCREENSHOTS = TEMPLATE / ".screenshots"
FAST = ["trainer.accelerator=cpu", "trainer.max_epochs=3", "callbacks.progress=null", "overwrite=true"]
PARTS = {"curves", "metrics", "rates", "checks", "config", "origin"}
CLASSES = {"confusion", "classes", "calibration", "mistakes"}


def folder_of_images(folder: Path, num_classes: int, per_class: int = 6, side: int = 8) -> list[str]:
    """Write images that differ by class, and noise, and return the overrides that read them."""
    random = np.random.default_rng(0)
    for number in range(num_classes):
        (folder / "images" / f"class{number:03}").mkdir(parents=True)
        for i in range(per_class):
            pixels = random.integers(0, 120, (side, side, 3), dtype=np.uint8)
            pixels[number % side] += np.uint8(60 + number // side)
            Image.fromarray(pixels).save(folder / "images" / f"class{number:03}" / f"{i}.png")
    places = [f"data.root='{folder / 'images'}'", f"data.cache_dir='{folder / 'cache'}'"]
    return ["data=image_folder", "model=mlp", *places, f"data.size={side}"]


@pytest.fixture(scope="module")
def runs(compose_config, tmp_path_factory):
    """The folders of some runs of each kind."""
    folder = tmp_path_factory.mktemp("images")
    chosen = {
        "digits": [],
        "two": folder_of_images(folder / "two", num_classes=2, per_class=40, side=150),
        "hundred": folder_of_images(folder / "hundred", num_classes=100),
        "penguins": ["data=penguins", "model=tabular_mlp", "trainer.max_epochs=1"],
        "mass": ["experiment=penguin_mass"],
        "untested": ["model=mlp", "test=false"],
    }
    own = f"runs_dir={tmp_path_factory.mktemp('report_runs')}"  # other tests have runs in the usual one
    configs = {name: compose_config(f"name={name}", *FAST, *choice, own) for name, choice in chosen.items()}
    for cfg in configs.values():
        train(cfg)
    folders = {name: Path(cfg.run_dir) for name, cfg in configs.items()}
    return folders | {name: stopped(folders["digits"].parent, name) for name in ("interrupted", "killed")}


def stopped(runs_dir: Path, name: str) -> Path:
    """Train until there is a checkpoint, then stop the run with a signal, and return its folder."""
    command = [sys.executable, "train.py", f"name={name}", f"runs_dir={runs_dir}", "trainer.max_epochs=500"]
    with subprocess.Popen([*command, "trainer.accelerator=cpu", "scheduler=none"], cwd=PROJECT) as process:
        while not (runs_dir / name / "checkpoints" / "last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM if name == "interrupted" else signal.SIGKILL)
    return runs_dir / name


def report(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "report.py", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def pages(runs):
    """The pages of the runs, and that of all of them, which also writes the page that a killed run could not write."""
    folder = runs["digits"].parent
    assert not (runs["killed"] / "report.html").exists()
    assert report(f"runs_dir={folder}").returncode == 0
    return {name: run / "report.html" for name, run in runs.items()} | {"index": folder / "index.html"}


@pytest.fixture(scope="module")
def browser():
    """Chromium of the distribution."""
    if not shutil.which("chromium") and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run("apt-get -qq update; apt-get -qq install -y chromium", shell=True, check=False)
    if not shutil.which("chromium"):
        pytest.skip("there is no chromium, and nothing here may install it: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])


def opened(browser, page, width=1440, scheme="light"):
    """Open a page, and keep what it says to the console and what it asks for."""
    tab = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    tab.said, tab.asked = [], []
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.goto(page.as_uri())
    return tab


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["digits", "two", "hundred", "penguins", "mass", "untested", "interrupted", "killed", "index"]
)
def test_a_page_shows_all_of_it_at_any_width_in_dark_and_light_and_asks_for_nothing(pages, browser, name):
    SCREENSHOTS.mkdir(exist_ok=True)
    colors = set()
    for width in (390, 1440):
        for scheme in ("light", "dark"):
            tab = opened(browser, pages[name], width, scheme)
            tab.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
            assert tab.said == []
            assert {url for url in tab.asked if not url.startswith("data:")} == {pages[name].as_uri()}
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            for figure in tab.locator("figure").all():
                assert figure.locator("svg").bounding_box()["height"] > 150
                drawn = "figure => [...figure.querySelectorAll('.series path, .series circle')].some(x => x.getBBox().width)"
                assert figure.evaluate(drawn), figure.inner_html()[:500]
            assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
            colors.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
            tab.emulate_media(media="print")
            assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            tab.context.close()
    assert len(colors) == 2
    assert pages[name].stat().st_size < 2e6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("digits", PARTS | CLASSES | {"batch"}),
        ("two", PARTS | CLASSES | {"batch"}),
        ("hundred", PARTS | CLASSES | {"batch"}),
        ("penguins", PARTS | CLASSES),
        ("mass", PARTS | {"predictions"}),
        ("untested", PARTS | CLASSES | {"batch"}),
        ("killed", PARTS - {"metrics"}),
    ],
)
def test_a_page_has_the_parts_that_apply(pages, browser, name, parts):
    tab = opened(browser, pages[name])
    found = {section.get_attribute("id") for section in tab.locator("section").all()}
    assert found == parts
    if "mistakes" in parts:
        mistakes = json.loads(pages[name].with_suffix(".json").read_text())["mistakes"]
        kind = "tbody tr, table tr:not(thead tr)" if name == "penguins" else "img"
        assert tab.locator("#mistakes").locator(kind).count() == len(mistakes)
    assert tab.locator("h1 .status").inner_text() == ("incomplete" if name == "killed" else "finished")


@pytest.mark.slow
def test_the_page_of_all_runs_is_sorted_filtered_and_compares_two(pages, browser):
    tab = opened(browser, pages["index"])

    def names():
        return tab.locator("#runs tbody:visible tr:first-child td:nth-child(2)").all_inner_texts()

    everything = names()
    assert len(everything) == 7  # the killed and the interrupted one are the same experiment
    tab.get_by_role("button", name="test/accuracy").click()
    low = [float(x) for x in tab.locator("#runs tbody tr:first-child td:nth-child(5)").all_inner_texts() if x]
    assert low == sorted(low)
    tab.get_by_role("button", name="test/accuracy").click()
    high = [float(x) for x in tab.locator("#runs tbody tr:first-child td:nth-child(5)").all_inner_texts() if x]
    assert high == sorted(high, reverse=True) != low
    tab.locator("#filter").fill("finished tabular")
    assert set(names()) == {"penguins", "mass"}
    for name in ("penguins", "mass"):
        tab.get_by_label(f"compare {name}").check()
    differences = tab.locator("#differences tr").all_inner_texts()
    assert any(
        row.split("\t")[0] == "data.target" and {"species", "body_mass_g"} <= set(row.split("\t"))
        for row in differences
    )
    tab.locator("#filter").fill("no such run")
    assert names() == []
    tab.locator("#filter").fill("")
    tab.get_by_role("link", name="digits").click()
    assert tab.locator("h1").inner_text().startswith("digits")
    assert tab.said == []


@pytest.mark.slow
def test_a_page_tells_what_the_summary_and_the_checkpoint_say(runs):
    summary, facts = (json.loads((runs["digits"] / f"{name}.json").read_text()) for name in ("summary", "report"))
    page = (runs["digits"] / "report.html").read_text()
    assert facts["num_samples"] == 360 == sum(count for _, _, count in facts["confusions"])
    share = facts["result"]["value"]
    assert share == pytest.approx(summary["metrics"]["test/accuracy"]["value"], abs=1e-6)
    assert f"{100 * share:.1f}&nbsp;%" in page
    f1 = np.mean([row[2] for row in facts["classes"]])
    assert f1 == pytest.approx(summary["metrics"]["test/f1"]["value"], abs=1e-6)
    wrong = [row for row in facts["confusions"] if row[0] != row[1]]
    assert len(facts["mistakes"]) == min(25, sum(count for *_, count in wrong))
    shares = [row["confidence"] for row in facts["mistakes"]]
    assert shares == sorted(shares, reverse=True)
    assert {"training", "validation", "test"} <= facts["seconds"].keys()
    for text in (summary["stopped"], summary["split_sha256"], "best: 3", "trainer.max_epochs"):
        assert text in page


@pytest.mark.slow
def test_a_mistake_is_the_sample_that_it_says(runs, compose_config):
    data = build(compose_config().data)
    pixels, labels = data.splits["test"].tensors
    facts = json.loads((runs["digits"] / "report.json").read_text())
    for row in facts["mistakes"]:
        assert row["target"] == str(int(labels[row["sample"]])) != row["predicted"]
        image = Image.open(io.BytesIO(base64.b64decode(row["input"].partition(",")[2]))).convert("L")
        shown = np.asarray(image) / 255 * data.white
        assert np.abs(shown - pixels[row["sample"], 0].numpy()).max() < 0.1


@pytest.mark.slow
def test_the_page_of_an_interrupted_run_says_so_and_shows_its_last_validation(runs):
    page, facts = (
        (runs["interrupted"] / "report.html").read_text(),
        json.loads((runs["interrupted"] / "report.json").read_text()),
    )
    assert summary_of_run(runs["interrupted"])["status"] == "interrupted"
    assert ">interrupted</span>" in page
    assert "SIGTERM" in page
    assert facts["split"] == "val"
    assert f"after epoch {facts['epoch']}" in page
    with (runs["interrupted"] / "metrics.csv").open() as file:
        accuracies = [row["val/accuracy"] for row in csv.DictReader(file) if row["val/accuracy"]]
    assert facts["result"]["value"] == pytest.approx(float(accuracies[facts["epoch"] - 1]), abs=1e-6)


def summary_of_run(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_a_run_that_fails_has_a_page_with_its_error(compose_config, monkeypatch):
    cfg = compose_config("name=failing", "model=mlp", *FAST)
    monkeypatch.setattr("my_project.models.mlp.MLP.on_train_epoch_end", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(cfg)
    page = (Path(cfg.run_dir) / "report.html").read_text()
    assert ">failed</span>" in page
    assert "ZeroDivisionError: division by zero" in page


def test_a_page_that_cannot_be_written_is_said_and_does_not_fail_the_run(compose_config, monkeypatch, capsys):
    monkeypatch.setattr("my_project.engine.report.page.result", lambda *_: 1 / 0)
    cfg = compose_config("name=unwritten", "model=mlp", *FAST)
    train(cfg)
    assert summary_of(cfg)["status"] == "finished"
    assert "report.html could not be written (ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.slow
def test_evaluate_writes_the_same_page_for_another_split(runs, compose_config):
    evaluate(compose_config(f"run={runs['digits']}", "split=val", config_name="evaluate"))
    facts = json.loads((runs["digits"] / "evaluation-val.json").read_text())
    assert facts["split"] == "val"
    assert facts["num_samples"] == 288
    low, high = facts["intervals"]["val/f1"]
    assert low <= facts["metrics"]["val/f1"]["value"] <= high
    assert "digits: evaluation-val" in (runs["digits"] / "evaluation-val.html").read_text()


def test_no_secret_reaches_a_page(compose_config, monkeypatch):
    monkeypatch.setenv("SOME_SERVICE_TOKEN", "hush-environment")
    secrets = [
        "+own.db_password=hush-config",
        "+own.server='https://me:hush-address@example.org'",
        "+own.note=hush-environment",
    ]
    cfg = compose_config("name=secrets", "model=mlp", *FAST, *secrets, "trainer.max_epochs=1")
    train(cfg)
    assert "hush" in (Path(cfg.run_dir) / "config.yaml").read_text()
    for path in (Path(cfg.run_dir) / "report.html", Path(cfg.run_dir) / "report.json"):
        assert "hush" not in path.read_text(), path
    show_runs(Path(cfg.runs_dir), words="", sort=None, most=1)
    assert "hush" not in (Path(cfg.runs_dir) / "index.html").read_text()


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ({"api_key": "abc", "num_tokens": 5, "tokenizer": "x"}, {"api_key": "***", "num_tokens": 5, "tokenizer": "x"}),
        ({"a": {"WANDB_API_KEY": 5}}, {"a": {"WANDB_API_KEY": "***"}}),
        ({"token": None}, {"token": None}),
        ("python train.py logger.x.password=abc lr=1", "python train.py logger.x.password=*** lr=1"),
        ("got {'secret': 'abc', 'lr': 1}", "got {'secret': ***, 'lr': 1}"),
        (["postgresql://me:abc@host/db"], ["postgresql://me:***@host/db"]),
    ],
)
def test_what_is_secret_is_known_by_its_name_or_place(plain, shown):
    assert redacted(plain) == shown


def test_intervals_are_those_of_the_books():
    assert wilson(81, 263) == pytest.approx([0.2553, 0.3662], abs=1e-4)  # Newcombe, Statistics in Medicine 17, 1998
    assert wilson(29, 29) == pytest.approx([0.8830, 1.0], abs=1e-4)
    outputs, targets = torch.eye(2).repeat(200, 1), torch.tensor([0, 1, 0, 1] * 90 + [1, 0] * 20)
    metrics = MetricCollection({"accuracy": MulticlassAccuracy(2, average="micro")})
    low, high = bootstrap(metrics, outputs, targets)["accuracy"]
    assert [low, high] == pytest.approx(wilson(360, 400), abs=0.01)


def test_calibration_is_that_of_torchmetrics():
    logits, targets = torch.randn(500, 5, generator=torch.Generator().manual_seed(0)) * 3, torch.arange(500) % 5
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    found = calibration(confidence, predicted == targets)
    assert found["calibration_error"] == pytest.approx(
        float(multiclass_calibration_error(logits, targets, 5)), abs=1e-6
    )
    assert sum(abs(a - b) * n / 500 for a, b, n in found["bins"]) == pytest.approx(found["calibration_error"], abs=1e-5)


def test_the_most_confident_mistakes_of_all_batches_are_kept():
    logits, targets = torch.randn(600, 4, generator=torch.Generator().manual_seed(0)), torch.arange(600) % 4
    inputs, evaluation = torch.arange(600.0).view(-1, 1), Evaluation("test")
    for batch in torch.arange(600).split(70):
        evaluation.update(logits[batch], (inputs[batch], targets[batch]))
    evaluation.gather()
    confidence, predicted = logits.softmax(1).max(1)
    wrong = torch.where(predicted != targets, confidence, -1).argsort(descending=True)[:25]
    mistakes = evaluation.facts(None, None)["mistakes"]
    assert [row["sample"] for row in mistakes] == wrong.tolist()
    assert [row["confidence"] for row in mistakes] == pytest.approx(confidence[wrong].tolist())


@pytest.mark.parametrize("batch", [torch.ones(3, 2), {"x": torch.ones(3)}, [torch.ones(3, 2), torch.ones(3, 2, 2)]])
def test_an_evaluation_of_another_kind_keeps_nothing(batch):
    evaluation = Evaluation("val")
    evaluation.update(torch.ones(3, 2), batch)
    evaluation.update({"loss": 1}, [torch.ones(3, 2), torch.ones(3)])
    evaluation.update(torch.ones(3, 1), [torch.ones(3, 2), torch.ones(3)])
    evaluation.update(torch.tensor(1.0), [torch.ones(3, 2), torch.ones(3)])
    assert evaluation.kept == []


def test_labels_that_do_not_count_and_inputs_of_many_sizes_and_outputs_that_are_not_finite_leave_an_evaluation():
    evaluation = Evaluation("val")
    for length in (3, 5):
        targets = torch.tensor([0, 1, -100, 1])
        logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [torch.nan, 0.0]])
        evaluation.update(logits, (torch.ones(4, length), targets))
    evaluation.gather()
    facts = evaluation.facts(None, None)
    assert facts["result"]["num_samples"] == 6
    assert [row[3] for row in facts["classes"]] == [2, 4]
    assert {row["sample"] for row in facts["mistakes"]} == {1, 5}
    assert all(row["input"] is None for row in facts["mistakes"])
    assert "NaN" not in json.dumps(facts)


def test_rows_are_decoded_to_what_they_were():
    frame = pd.DataFrame({"size": [1.0, 5.0, 9.0, None], "year": [1, 2, 3, 4], "city": ["Bern", "Oslo", None, "Oslo"]})
    columns = learn_columns(frame, [], "keep", "here")
    decoded = columns.decode(*columns.encode(frame, "here"))
    assert [row["size"] for row in decoded] == pytest.approx([1, 5, 9, None])
    assert [row["year"] for row in decoded] == pytest.approx([1, 2, 3, 4])
    assert [row["city"] for row in decoded] == ["Bern", "Oslo", None, "Oslo"]


def write_run(folder: Path, name: str, config: str, accuracy: float | None = None, split: str = "a") -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "config.yaml").write_text(f"name: {name}\n{config}")
    metrics = {} if accuracy is None else {"test/accuracy": {"value": accuracy, "num_samples": 9}}
    summary = {"status": "failed" if accuracy is None else "finished", "metrics": metrics, "split_sha256": split}
    (folder / name / "summary.json").write_text(json.dumps(summary))


def test_runs_that_differ_in_seed_or_fold_alone_are_one_line_and_never_mixed_with_others(tmp_path):
    config = "seed: {}\noptimizer:\n  lr: {}\n  steps:\n  - 1\n"
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        write_run(tmp_path, f"a{seed}", config.format(seed, 0.1), accuracy)
    write_run(tmp_path, "a1-again", config.format(1, 0.1), 0.6)  # the same seed: no new evidence
    write_run(tmp_path, "a-failed", config.format(9, 0.1))
    write_run(tmp_path, "b", config.format(0, 0.2), 0.9)
    write_run(tmp_path, "a-other-data", config.format(3, 0.1), 0.9, split="b")
    for fold in range(2):
        write_run(tmp_path, f"f{fold}", f"seed: 0\ndata:\n  fold: {fold}\n", 0.8, split=f"s{fold}")
    lines = {line["name"].partition(" ")[0]: line for line in lines_of(read_runs(tmp_path))}
    by_size = {len(line["runs"]): line for line in lines.values()}
    assert sorted(len(line["runs"]) for line in lines.values()) == [1, 1, 2, 5]
    assert by_size[5]["n"] == 3
    assert by_size[5]["texts"]["test/accuracy"] == "0.6000 ± 0.1000"
    assert by_size[5]["status"] == "4 finished, 1 failed" or by_size[5]["status"] == "1 failed, 4 finished"
    assert by_size[2]["texts"]["test/accuracy"] == "0.8000 ± 0.0000"
    assert lines["b"]["texts"]["test/accuracy"] == "0.9000"
    assert "optimizer.lr=0.2" in lines["b"]["special"]


def test_the_table_is_sorted_and_filtered_and_a_wrong_column_is_refused(tmp_path, capsys):
    for name, accuracy in {"x": 0.3, "y": 0.9, "z": 0.6, "w": None}.items():
        write_run(tmp_path, name, f"model: {name}\n", accuracy)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.yaml").write_text("model: [\n")

    def names(**options):
        show_runs(tmp_path, **({"words": "", "sort": None, "most": 10} | options))
        return [line.split()[0] for line in capsys.readouterr().out.split("run ", 1)[1].splitlines()[1:-2]]

    assert names(sort="-test/accuracy", words="finished") == ["y", "z", "x"]
    assert names(sort="test/accuracy")[:3] == ["x", "z", "y"]
    assert names(words="MODEL=y") == ["y"]
    assert len(names(most=2)) == 2
    with pytest.raises(ConfigError, match=r"sort must be one of n, test/accuracy, .* got 'foo'"):
        names(sort="foo")
    with pytest.raises(ConfigError, match="runs_dir must be the folder of your runs"):
        show_runs(tmp_path / "x", words="", sort=None, most=1)


@pytest.mark.slow
def test_the_script_needs_no_torch_and_refuses_what_is_wrong(runs):
    command = "import runpy, sys; sys.argv[0] = 'report.py'\ntry: runpy.run_path('report.py', run_name='__main__')\n"
    command += "except SystemExit as error: assert not error.code and 'torch' not in sys.modules"
    folder = runs["digits"].parent
    for arguments in ([f"runs_dir={folder}"], [f"run={runs['digits']}"]):
        subprocess.run([sys.executable, "-c", command, *arguments], cwd=PROJECT, check=True)
    for wrong, message in {
        "run=nowhere": "run must be the folder of a run",
        "sort=1": "sort must be",
        "lime=3": "lines",
    }.items():
        result = report(f"runs_dir={folder}", wrong)
        assert result.returncode == 1
        assert message in result.stdout + result.stderr
        assert "Traceback" not in result.stderr
    assert "Usage: python report.py" in report("--help").stdout


def test_a_page_is_made_from_what_a_folder_still_has(tmp_path):
    write_run(tmp_path, "bare", "model: {}\n")
    (tmp_path / "bare" / "metrics.csv").write_text("epoch,step,val/loss\n0,9,1.5\n1,19,nan\n2,2")
    (tmp_path / "bare" / "summary.json").write_text('{"status": "running", ')
    write_page(tmp_path / "bare" / "report.html")
    assert ">incomplete</span>" in (tmp_path / "bare" / "report.html").read_text()


def test_a_config_that_was_damaged_is_one_message(tmp_path):
    write_run(tmp_path, "edited", "model: [1\n")
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        write_page(tmp_path / "edited" / "report.html")
    show_runs(tmp_path, words="", sort=None, most=1)  # the others are still compared
