"""The commands: what they do, and one clear line and exit code 2 where they cannot."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minigen.cli import main
from minigen.training import Run

Cli = Callable[..., tuple[int, str, str]]
COMMAND = [sys.executable, "-c", "from minigen.cli import main; main()"]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(a) for a in args])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a finished run of each model; tests copy what they change."""
    folder = tmp_path_factory.mktemp("trained")
    for model in ("vae", "gan", "gpt"):
        with pytest.raises(SystemExit) as caught:
            main(["train", model, "--fast", "--steps", "6", "--out", str(folder / model)])
        assert caught.value.code == 0
    before = contents(folder)
    yield folder
    assert contents(folder) == before


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file under a folder."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        if p.is_file()
        else ""
        for p in sorted(folder.rglob("*"))
    }


def refused(result: tuple[int, str, str], *words: str) -> None:
    """Exit code 2, nothing on standard output, and one line that holds these words."""
    code, out, err = result
    assert code == 2, (out, err)
    assert out == ""
    assert err.startswith("minigen: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err, (word, err)


# --------------------------------------------------------------------------- wrong commands


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["fly"], ["fly", "minigen --help"]),
        (["--fly"], ["--fly"]),
        (["train"], ["Missing argument"]),
        (["train", "parrot"], ["parrot", "vae", "gan", "gpt"]),
        (["train", "vae", "--step"], ["--step"]),
        (["train", "vae", "--steps", "many"], ["--steps"]),
        (["train", "vae", "--steps", "0"], ["--steps"]),
        (["train", "vae", "--steps", "1.5"], ["--steps"]),
        (["train", "vae", "--lr", "0"], ["lr", "positive"]),
        (["train", "vae", "--lr", "nan"], ["lr", "positive"]),
        (["train", "vae", "--seed", "-1"], ["--seed"]),
        (["train", "vae", "--seed", str(2**63)], ["seed"]),
        (["train", "vae", "--batch-size", "5000"], ["5000", "4000"]),
        (["train", "vae", "--resume", "r", "--lr", "1"], ["--lr", "--resume"]),
        (["train", "vae", "--resume", "r", "--fast"], ["--fast", "--resume"]),
        (["train", "vae", "--resume", "r", "--precision", "bf16"], ["--precision", "--resume"]),
        (["train", "vae", "--resume", "nowhere"], ["there is no run folder nowhere"]),
        (["sample"], ["RUN"]),
        (["sample", "nowhere"], ["there is no run folder nowhere"]),
        (["sample", "nowhere", "--temperature", "-1"], ["--temperature"]),
        (["sample", "nowhere", "--checkpoint", "first"], ["first", "last", "best"]),
        (["evaluate", "nowhere"], ["there is no run folder nowhere"]),
        (["info", "more"], ["more"]),
        (["demo", "--fast", "--seed", "x"], ["--seed"]),
    ],
)
def test_wrong_commands(args: list[str], words: list[str], cli: Cli, tmp_path: Path) -> None:
    refused(cli(*args), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("args", [["train", "vae"], ["demo"]])
def test_an_existing_folder_is_not_written_into(args: list[str], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused(cli(*args, "--fast", "--out", "mine"), "mine exists and is not empty")
    refused(cli(*args, "--fast", "--out", "mine/thesis.txt"), "is a file")
    assert contents(tmp_path) == {
        "mine": "",
        "mine/thesis.txt": hashlib.sha256(b"years of work").hexdigest(),
    }


# --------------------------------------------------------------------------- damaged runs


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "vae", tmp_path / "vae")
    return tmp_path / "vae"


def every_command_refuses(cli: Cli, run: Path, *words: str) -> None:
    before = contents(run)
    refused(cli("sample", run), *words)
    refused(cli("evaluate", run), *words)
    refused(cli("train", "vae", "--resume", run, "--steps", 9), *words)
    assert contents(run) == before


def test_a_run_of_another_version(cli: Cli, run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "format": 2, "minigen": "7.0"}))
    every_command_refuses(cli, run, "format 2", "minigen 7.0")


def test_a_damaged_config(cli: Cli, run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    for path, value, words in (
        (("settings", "recipe"), "parrot", ["parrot"]),
        (("settings", "lr"), "x", ["lr"]),
        (("settings", "model", "hidden"), "wide", ["damaged"]),
        (("settings", "model", "depth"), 3, ["damaged", "depth"]),
        (("settings", "options"), {}, ["damaged", "test_images"]),
    ):
        broken = json.loads(json.dumps(config))
        place = broken
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        (run / "config.json").write_text(json.dumps(broken))
        before = contents(run)
        refused(cli("sample", run), *words)
        refused(cli("evaluate", run), *words)
        code, out, err = cli("train", broken["settings"]["recipe"], "--resume", run, "--steps", 9)
        refused((code, out, err))
        assert contents(run) == before


def test_a_corrupt_checkpoint(cli: Cli, run: Path) -> None:
    path = run / "checkpoints" / "last.safetensors"
    good = path.read_bytes()
    middle = len(good) // 2
    for bad in (
        good[:middle],
        good[:middle] + bytes([good[middle] ^ 4]) + good[middle + 1 :],
        b"",
        b"not a checkpoint at all",
    ):
        path.write_bytes(bad)
        every_command_refuses(cli, run, "last.safetensors is corrupt")


def test_a_missing_checkpoint(cli: Cli, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    every_command_refuses(cli, run, "no checkpoint last.safetensors")


def test_a_folder_that_is_no_run(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    every_command_refuses(cli, tmp_path / "photos", "not a run folder")


# --------------------------------------------------------------------------- training


def test_a_finished_run_has_everything(trained: Path) -> None:
    files = set(contents(trained / "vae"))
    assert files == {
        "checkpoints", "checkpoints/best.safetensors", "checkpoints/last.safetensors",
        "config.json", "log.jsonl", "report.html",
        "samples", "samples/reconstructions.png", "samples/interpolation.png", "samples/walk.png",
        "samples/step-000006.png",
    }  # fmt: skip
    assert "Variational autoencoder" in (trained / "vae" / "report.html").read_text()


def test_default_folders_count_up(cli: Cli, tmp_path: Path) -> None:
    for name in ("vae", "vae-2"):
        code, out, err = cli("train", "vae", "--fast", "--steps", 1)
        assert (code, err) == (0, "")
        assert f"report: runs/{name}/report.html" in out
        assert Run.open(tmp_path / "runs" / name).settings.steps == 1


def test_options_become_settings(cli: Cli, tmp_path: Path) -> None:
    options = ["--steps", 2, "--batch-size", 7, "--lr", 0.5, "--seed", 11, "--out", "r"]
    assert cli("train", "gpt", "--fast", *options)[0] == 0
    settings = Run.open("r").settings
    assert (settings.steps, settings.batch_size, settings.lr, settings.seed) == (2, 7, 0.5, 11)


def test_resume_says_what_is_complete_and_goes_further(cli: Cli, run: Path) -> None:
    before = contents(run)
    refused(cli("train", "vae", "--resume", run), "complete", "--steps")
    refused(cli("train", "vae", "--resume", run, "--steps", 4), "at step 6 already")
    refused(cli("train", "gan", "--resume", run), "is a run of vae, not of gan")
    assert contents(run) == before
    code, out, err = cli("train", "vae", "--resume", run, "--steps", 8)
    assert (code, err) == (0, "")
    assert "step 8/8" in out
    assert Run.open(run).load().step == 8


def test_ctrl_c_and_the_command_it_prints(tmp_path: Path) -> None:
    """As a user does it: a process, a signal, a copied command line."""
    arguments = ["train", "vae", "--steps", "100000", "--out", "my run"]
    process = subprocess.Popen(
        COMMAND + arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    checkpoint = tmp_path / "my run" / "checkpoints" / "last.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    stopped = re.search(r"stopped at step (\d+)", out)
    assert stopped is not None, (out, err)
    run = Run.open(tmp_path / "my run")
    assert run.load().step == int(stopped[1])
    command = out.splitlines()[-1].strip()
    assert command == "minigen train vae --resume 'my run'"
    (tmp_path / "minigen").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from minigen.cli import main; main()' \"$@\"\n"
    )
    (tmp_path / "minigen").chmod(0o755)
    done = subprocess.run(
        f"{command} --steps {int(stopped[1]) + 2}", shell=True, cwd=tmp_path, text=True,
        capture_output=True, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert run.load().step == int(stopped[1]) + 2


def test_a_run_that_diverges(cli: Cli) -> None:
    code, _, err = cli("train", "vae", "--fast", "--lr", "1e18", "--out", "r")
    assert code == 1
    assert err.count("\n") == 1
    assert re.search(r"loss became (NaN|infinite) at step \d+", err)
    assert "last good checkpoint, of step 0, is r/checkpoints/last.safetensors" in err
    assert Run.open("r").load().step == 0


# --------------------------------------------------------------------------- using a run


def test_sample_images(cli: Cli, trained: Path, run: Path) -> None:
    code, out, err = cli("sample", run, "--n", 9, "--seed", 5)
    assert (code, err) == (0, "")
    first = Path(out.strip())
    assert first.parent == run / "samples"
    assert cli("sample", run, "--n", 9, "--seed", 5, "--out", "same.png")[0] == 0
    assert cli("sample", run, "--n", 9, "--seed", 6, "--out", "other.png")[0] == 0
    assert first.read_bytes() == Path("same.png").read_bytes() != Path("other.png").read_bytes()
    refused(cli("sample", run, "--out", "same.png"), "same.png exists")
    refused(cli("sample", run, "--out", "no/where.png"), "no folder")
    refused(cli("sample", run, "--prompt", "x"), "--prompt is for text")
    refused(cli("sample", run, "--top-k", 3), "--top-k is for text")
    refused(cli("sample", run, "--top-p", 0.5), "--top-p is for text")
    refused(cli("sample", run, "--stop", "x"), "--stop is for text")


def test_sample_text(cli: Cli, trained: Path) -> None:
    gpt = trained / "gpt"
    code, text, err = cli("sample", gpt, "--n", 40, "--prompt", "HAMLET", "--seed", 5)
    assert (code, err) == (0, "")
    assert text.startswith("HAMLET")
    assert len(text) == len("HAMLET") + 40 + 1
    assert cli("sample", gpt, "-n", 40, "--prompt", "HAMLET", "--seed", 5)[1] == text
    assert cli("sample", gpt, "-n", 40, "--prompt", "HAMLET", "--seed", 6)[1] != text
    greedy = [cli("sample", gpt, "--temperature", 0, "--seed", s)[1] for s in (1, 2)]
    assert greedy[0] == greedy[1] == cli("sample", gpt, "--top-k", 1)[1]
    assert cli("sample", gpt, "--n", 5, "--out", "text.txt")[0] == 0
    assert Path("text.txt").read_text() != ""
    refused(cli("sample", gpt, "--prompt", "語"), "語")


def test_sample_text_with_all_options(cli: Cli, trained: Path) -> None:
    gpt = trained / "gpt"
    whole = cli("sample", gpt, "--n", 60, "--prompt", "HAMLET", "--seed", 5)[1].rstrip("\n")
    stop = whole[20:22]
    out = cli("sample", gpt, "--n", 60, "--prompt", "HAMLET", "--seed", 5, "--stop", stop)[1]
    written = whole.removeprefix("HAMLET")
    assert out == "HAMLET" + written[: written.index(stop)] + "\n"
    greedy = cli("sample", gpt, "--temperature", 0)[1]
    assert cli("sample", gpt, "--top-p", 0)[1] == greedy
    varied = cli("sample", gpt, "--temperature", 0, "--repetition-penalty", 1.5)[1]
    assert varied != greedy
    refused(cli("sample", gpt, "--repetition-penalty", 0), "repetition_penalty")
    refused(cli("sample", gpt, "--stop", ""), "empty stop")
    refused(cli("sample", gpt, "--top-p", 1.5), "--top-p")


def test_the_best_checkpoint_can_be_asked_for(cli: Cli, run: Path) -> None:
    best, last = (run / "checkpoints" / f"{name}.safetensors" for name in ("best", "last"))
    assert best.read_bytes() == last.read_bytes()  # one evaluation, at the end
    last.unlink()
    assert cli("evaluate", run, "--checkpoint", "best")[0] == 0
    refused(cli("evaluate", run), "no checkpoint last")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("vae", ["negative ELBO", "nats", "log-likelihood", "Fréchet", "held-out real"]),
        ("gan", ["Fréchet", "held-out real"]),
        ("gpt", ["nats/character", "best n-gram"]),
    ],
)
def test_evaluate(model: str, words: list[str], cli: Cli, trained: Path) -> None:
    code, out, err = cli("evaluate", trained / model)
    assert (code, err) == (0, "")
    for word in [*words, "step 6"]:
        assert word in out
    assert "PyTorch" not in out  # which was trained for more steps than 6
    final = [r["metrics"] for r in Run.open(trained / model).records() if "metrics" in r][-1]
    key = {"vae": "test_loss", "gan": "frechet", "gpt": "validation_loss"}[model]
    told = r"Fréchet distance (\d+\.\d)" if model == "gan" else r": (\d+\.\d+)"
    measured = re.search(told, out)
    assert measured is not None
    assert float(measured[1]) == pytest.approx(final[key], rel=1e-2)


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_evaluate_says_on_what_each_figure_stands(model: str, cli: Cli, trained: Path) -> None:
    """n, the network, and the same of held-out real digits."""
    _, out, _ = cli("evaluate", trained / model)
    final = [r["metrics"] for r in Run.open(trained / model).records() if "metrics" in r][-1]
    frechet, floor = (f"{final[key]:.1f}" for key in ("frechet", "frechet_floor"))
    facts = "n = 200, features: digit classifier v1"
    assert f"Fréchet distance {frechet} ({facts}, floor {floor})" in out
    for name in ("kernel distance", "inception score", "digits seen", "precision", "recall"):
        assert re.search(rf"{name} -?[\d.]+( ± [\d.]+)? \({facts}, (floor|ceiling) ", out), name
    assert re.search(rf"n = 25: .*n = 200: {frechet} ± 0.0; n = ∞, extrapolated: ", out)
    for name in ("MSE", "PSNR in dB", "SSIM", "bits a pixel, at most"):
        assert bool(re.search(rf"{name} -?[\d.]+ \(n = 200\)", out)) == (model == "vae")


def test_evaluate_text_in_other_units(cli: Cli, trained: Path) -> None:
    _, out, _ = cli("evaluate", trained / "gpt")
    nats, bits, perplexity = (
        float(re.search(pattern, out)[1])  # type: ignore[index]
        for pattern in (r": ([\d.]+) nats", r"bits a character ([\d.]+)", r"perplexity ([\d.]+)")
    )
    assert bits == pytest.approx(nats / math.log(2), abs=2e-3)
    assert perplexity == pytest.approx(math.exp(nats), rel=1e-3)


@pytest.mark.parametrize("model", ["conv_vae", "dcgan", "wgan_gp", "lstm"])
def test_the_other_models_are_trained_and_evaluated_to_the_end(model: str, cli: Cli) -> None:
    code, out, err = cli("train", model, "--fast", "--steps", 2, "--out", "run")
    assert (code, err) == (0, "")
    assert "report: run/report.html" in out
    code, out, err = cli("evaluate", "run")
    assert (code, err) == (0, "")
    assert ("bits a character" if model == "lstm" else "digit classifier v1") in out


def test_info_names_versions_devices_threads_and_kernels(cli: Cli) -> None:
    code, out, err = cli("info")
    assert (code, err) == (0, "")
    for word in (
        "minigen 0",
        "Python 3",
        "numpy",
        "cpu:",
        "cuda:",
        "BLAS",
        "matmul:",
        "attention:",
    ):
        assert word in out


# --------------------------------------------------------------------------- demo, help, imports


def test_demo_ends_with_a_report(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("demo", "--fast", "--out", "d")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == str(tmp_path / "d" / "report.html")
    page = (tmp_path / "d" / "report.html").read_text()
    for title in ("Variational autoencoder", "Generative adversarial network", "Transformer"):
        assert f"<h2>{title}</h2>" in page
    # 3 curves, light and dark; 2 grids of samples; of the VAE copies, a path and a walk.
    assert page.count("data:image/png;base64,") == 11
    assert "http" not in page
    for model in ("vae", "gan", "gpt"):
        assert Run.open(tmp_path / "d" / model).load().step > 0


def test_kernels_are_compiled_while_something_else_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minigen.cli.demo import compiled_meanwhile

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with compiled_meanwhile("dropout") as compiler:
        assert compiler.wait() == 0
    assert any("dropout" in file.name for file in tmp_path.rglob("*.nbc"))
    with compiled_meanwhile("attention") as compiler:  # which takes longer than this
        pass
    assert compiler.returncode


@pytest.mark.parametrize("command", [[], ["--help"], ["-h"]])
def test_help_reads_like_documentation(command: list[str], cli: Cli) -> None:
    code, out, err = cli(*command)
    assert (code, err) == (0, "")
    for word in ("demo", "train", "sample", "evaluate", "info", "minigen demo"):
        assert word in out


def test_every_command_has_help(cli: Cli) -> None:
    for command in ("demo", "train", "sample", "evaluate", "info"):
        code, out, _ = cli(command, "--help")
        assert code == 0
        assert f"minigen {command}" in out
    assert cli("--version") == (0, "minigen 0.1.0\n", "")


def test_help_and_import_load_nothing_heavy() -> None:
    heavy = "{'matplotlib', 'numba', 'llvmlite', 'cupy', 'scipy', 'torch'}"
    for code, also in (
        ("import minigen", "{'rich', 'typer'}"),
        ("from minigen.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass", "set()"),
    ):
        check = f"import sys\n{code}\nprint(sorted(({heavy} | {also}) & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]", code


def test_an_error_of_a_process_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "sample", "nowhere"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "minigen: there is no run folder nowhere\n"


def test_the_models_are_listed_and_described(cli: Cli) -> None:
    from minigen.training.recipes import RECIPES

    code, out, _ = cli("models")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(RECIPES)
    code, out, _ = cli("models", "gpt")
    assert code == 0
    for word in ("Transformer", "1,400 steps of 16", "\n  layers = 4\n", "\n  clip = 1.0\n"):
        assert word in out
    refused(cli("models", "gtp"), "no recipe 'gtp'", "lstm")


def test_a_setting_that_only_one_model_has(cli: Cli) -> None:
    code, _, err = cli(
        "train", "vae", "--fast", "--steps", 1, "--set", "latent=2", "--set", "hidden=8",
        "--set", "test_images=100", "--out", "run",
    )  # fmt: skip
    assert (code, err) == (0, "")
    settings = Run.open(Path("run")).settings
    assert (settings.model["latent"], settings.model["hidden"]) == (2, 8)
    assert settings.options["test_images"] == 100
    for given, words in {
        "layers=2": ["no setting 'layers'", "latent"],
        "latent=2.5": ["latent", "like 20"],
        "latent=True": ["latent", "like 20"],
        "latent": ["NAME=VALUE"],
    }.items():
        refused(cli("train", "vae", "--set", given, "--out", "other"), *words)
        assert not Path("other").exists()
    refused(cli("train", "vae", "--set", "latent=2", "--resume", "run"), "--set")


def test_kernels_list_and_why(cli: Cli) -> None:
    code, listed, _ = cli("kernels", "list")
    assert code == 0
    assert "\nattention: " in listed
    assert "reference" in listed
    code, why, _ = cli("kernels", "why", "matmul", "64x784x400")
    assert code == 0
    assert why.startswith("matmul: ")
    assert re.search(r"\n    cuda +cuda +float32 +one launch for all parameters\n", listed)
    assert re.search(r"\n    bf16 +cpu +bfloat16 ", listed)
    code, why, _ = cli("kernels", "why", "softmax", "64x400", "--device", "cuda")
    assert code == 0
    assert why.startswith("softmax: cuda, measured ")
    code, why, _ = cli("kernels", "why", "matmul", "64x784x400", "--precision", "medium")
    assert why.startswith("matmul: bf16, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["matmul", "64x784"], "MxKxN"),
        (["matmul", "axb"], "no shape"),
        (["matmull", "2x2x2"], "no operation 'matmull'"),
        (["gelu", "3x3", "--dtype", "int8"], "float32 or float64"),
        (["gelu", "3x3", "--device", "tpu"], "cpu or cuda"),
        (["gelu", "3x3", "--precision", "low"], "one of highest, high, medium"),
    ],
)
def test_kernels_why_says_what_is_wrong(arguments: list[str], message: str, cli: Cli) -> None:
    refused(cli("kernels", "why", *arguments), message)


def test_kernels_check_says_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from minigen.kernels.cuda import check

    refused(cli("kernels", "check", "tanh"), "none of these operations has a kernel in CUDA C++")
    refused(cli("kernels", "check", "sing"), "there is no operation 'sing'")
    monkeypatch.setattr(check, "cuda_rungs", lambda operation: [operation.rungs[0]])
    monkeypatch.setattr(check, "missing", lambda: ["there is no g++"])
    refused(cli("kernels", "check", "tanh"), "there is no g++")


def test_kernels_check_reports_and_ends_with_1_if_something_is_wrong(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minigen.kernels.cuda import budget, check, emulator

    outcomes = [check.Outcome("mine", "", error, 1e-5, emulator.Run(), "") for error in (1e-7, 1.0)]
    monkeypatch.setattr(check, "cuda_rungs", lambda operation: [operation.rungs[0]])
    monkeypatch.setattr(check, "folders", lambda operations: ["fused"])
    monkeypatch.setattr(budget, "lines", lambda folders: [("  40 registers", True)])
    for shown, code in ((outcomes[:1], 0), (outcomes, 1)):
        monkeypatch.setattr(check, "outcomes", lambda operation, shown=shown: shown)
        ended, out, _ = cli("kernels", "check", "tanh")
        assert ended == code
        assert out.count("tanh mine") == len(shown)
        assert ("WRONG" in out) == (code == 1)
        assert "40 registers" in out


def test_kernels_warmup_and_tune(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minigen.kernels import measured, registry, tuning

    monkeypatch.setenv("MINIGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning, "SIZES", (64, 4096))
    measured.own.cache_clear()
    code, out, _ = cli("kernels", "warmup", "erf")
    assert code == 0
    assert "kernels are ready" in out
    code, out, _ = cli("kernels", "tune", "erf", "--quick")
    assert code == 0
    assert "erf float32: " in out
    assert (tmp_path / "kernels.json").exists()
    refused(cli("kernels", "tune", "sofmax"), "sofmax", "erf")
    monkeypatch.undo()
    measured.own.cache_clear()
    registry.forget_plans()
