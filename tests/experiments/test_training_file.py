"""What training files make of model files, of GPUs and of the work to expect, before any command runs."""

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest

from speechllm_plugin.experiments import expected_work, training_file
from speechllm_plugin.experiments.expected_work import Work
from speechllm_plugin.experiments.training_file import Gpus, last_value
from speechllm_plugin.models.config import SpeechToTextConfig

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def write(tmp_path):
    """A training file of this text."""

    def run(text):
        path = tmp_path / "training.sh"
        path.write_text(text, encoding="utf-8")
        return path

    return run


@pytest.mark.parametrize(("training", "frames"), [("paper.sh", 320_000), ("paper_covost2.sh", 256_000)])
@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
@pytest.mark.parametrize("gib", [15.6, 39.4, 79.6, 139.8])
@pytest.mark.parametrize("own", [[], ["--bf16"], ["--bf16", "--ctc-weight", "1"]])
def test_an_update_has_the_papers_frames_on_any_gpus(training, frames, gpus, gib, own):
    settings = training_file.read(RECIPES / "training" / training)
    arguments = [*settings.training_args, *settings.machine_args(Gpus(gpus, gib), own_args=own)]
    max_tokens, update_freq = (int(last_value(arguments, flag)) for flag in ("--max-tokens", "--update-freq"))
    assert gpus * max_tokens * update_freq == frames
    assert max_tokens <= max(frames / 8, gib * (3000 if own else 1500))
    assert gpus < 8 or max_tokens == frames / 8


def test_an_update_is_one_batch_where_the_gpu_holds_it():
    settings = training_file.read(RECIPES / "training/paper.sh")
    flags = "--optimizer speechllm_adam --num-batch-buckets 64 --cuda-graphs 96 --ddp-backend legacy_ddp".split()
    assert settings.machine_args(Gpus(1, 139.8), own_args=["--bf16"]) == ["--max-tokens", "320000", "--update-freq", "1", *flags]
    assert settings.machine_args(Gpus(1, 139.8)) == ["--max-tokens", "160000", "--update-freq", "2", *flags]
    in_file = dataclasses.replace(settings, training_args=[*settings.training_args, "--bf16"])
    assert in_file.machine_args(Gpus(1, 139.8)) == settings.machine_args(Gpus(1, 139.8), own_args=["--bf16"])
    assert settings.machine_args(Gpus(0)) == [] and training_file.read(RECIPES / "training/small_cpu.sh").machine_args(Gpus(1, 80)) == []


@pytest.mark.parametrize("model", sorted(RECIPES.glob("models/row*.sh")), ids=lambda path: path.stem)
def test_deep_models_get_smaller_batches(model):
    settings = training_file.read(RECIPES / "training/paper.sh")
    flags = settings.machine_args(Gpus(1, 139.8), settings.model_args(model), ["--bf16"])
    assert flags[:4] == "--max-tokens {} --update-freq {}".format(*((160_000, 2) if model.stem.startswith("row6") else (320_000, 1))).split()


def test_layers_that_no_flag_names_are_the_defaults():
    assert {f"--{name}-layers": getattr(SpeechToTextConfig, f"{name}_layers") for name in ("encoder", "decoder")} == training_file.USUAL_LAYERS


@pytest.mark.parametrize("model", ["small_fairseq_s2t_transformer.sh", "fairseq_s2t_conformer.sh"])
def test_fairseqs_own_models_get_no_flags_that_they_cannot_take(model):
    settings = training_file.read(RECIPES / "training/paper.sh")
    model_args = settings.model_args(RECIPES / "models" / model)
    assert settings.machine_args(Gpus(1, 139.8), model_args) == []
    assert settings.machine_args(Gpus(2, 139.8), model_args, ["--bf16"]) == ["--update-freq", "4"]


@pytest.mark.parametrize("model", ["fairseq_s2t_transformer_s.sh", "fairseq_s2t_conformer.sh"])
def test_fairseqs_own_models_take_texts_of_two_minutes_as_ours_do_while_decoding(model):
    model_args = training_file.read(RECIPES / "training/fillets.sh").model_args(RECIPES / "models" / model)
    tokens_a_second = int(re.search(r"^tokens_a_second=(\d+)", (RECIPES / "stress.sh").read_text(), re.MULTILINE)[1])
    assert int(model_args[model_args.index("--max-target-positions") + 1]) >= 120 * tokens_a_second


def test_what_the_user_says_is_left_to_the_user():
    settings, gpus = training_file.read(RECIPES / "training/paper.sh"), Gpus(2, 139.8)
    assert settings.machine_args(gpus, [], ["--max-tokens", "20000", "--optimizer", "adam", "--cuda-graphs", "0"]) == (
        "--update-freq 4 --num-batch-buckets 64 --ddp-backend legacy_ddp".split()
    )
    assert "--max-tokens" not in settings.machine_args(gpus, [], ["--update-freq", "3"])
    assert "--max-tokens" not in settings.machine_args(gpus, [], ["--batch-size", "8"])
    assert settings.machine_args(gpus, [], ["--update-freq=3", "--optimizer=adam", "--cuda-graphs=0"]) == settings.machine_args(
        gpus, [], ["--update-freq", "3", "--optimizer", "adam", "--cuda-graphs", "0"]
    )


def test_updates_that_grow_cannot_be_shared(write):
    training = training_file.read(write("AVERAGE_LAST=1 TRAINING_ARGS=(--update-freq 2,4)"))
    assert training.machine_args(Gpus(1, 80)) == []
    with pytest.raises(ValueError, match="--update-freq 2,4 cannot be shared among 2 GPUs: it must be one number"):
        training.machine_args(Gpus(2, 80))


def test_a_number_of_gpus_that_would_change_the_batch_is_refused():
    with pytest.raises(ValueError, match="--update-freq 8 cannot be shared among 3 GPUs"):
        training_file.read(RECIPES / "training/paper.sh").machine_args(Gpus(3, 80))


@pytest.mark.parametrize(("row", "expected"), [("row5.1_*", (4, 3, 2)), ("row3_*", (None, None, 6)), ("row6_*", (None, None, 11))])
def test_a_training_file_can_divide_the_layers_of_a_model(row, expected, write, capsys):
    path = write("LAYERS_DIVIDED_BY=3 SIZE_ARGS=(--dropout 0) AVERAGE_LAST=1")
    (model_file,) = (RECIPES / "models").glob(f"{row}.sh")
    words = training_file.read(path).model_args(model_file)
    for flag, value in zip(("--encoder-layers", "--ctc-layer", "--decoder-layers"), expected):
        assert (flag in words) == (value is not None) and (value is None or int(last_value(words, flag)) == value)
    assert last_value(words, "--dropout") == "0"
    training_file.main(str(model_file), str(path))
    assert capsys.readouterr().out.splitlines() == words


@pytest.mark.parametrize("path", sorted((RECIPES / "training").glob("*[!r].sh")), ids=lambda path: path.name)
def test_every_training_file_has_its_settings(path):
    training = training_file.read(path)
    assert training.training_args and training.generation_args and training.average_last == 5 and training.teacher_args
    assert all(isinstance(value, str) for value in training.vocab_size.values())


ERRORS = {
    "AVERAGE_LAST=1 TRAINING_ARG=()": "sets TRAINING_ARG, which is none of AVERAGE_LAST PREPARE_ARGS TRAINING_ARGS",
    "AVERAGE_LAST=1 training_args=()": "sets training_args, which is none of",
    "AVERAGE_LAST=five": "AVERAGE_LAST must be a whole number, but is five",
    "AVERAGE_LAST=(1)": r"AVERAGE_LAST must be a number, but is \['1'\]",
    "AVERAGE_LAST=1 TRAINING_ARGS=--cpu": "TRAINING_ARGS must be an array, but is '--cpu'",
    "AVERAGE_LAST=1 TRAINING_ARGS=([a]=b)": "TRAINING_ARGS must be an array, but is {'a': 'b'}",
    "AVERAGE_LAST=1 VOCAB_SIZE=(48)": r"VOCAB_SIZE must be an array with keys, but is \['48'\]",
    "TRAINING_ARGS=()": "sets no AVERAGE_LAST",
    "AVERAGE_LAST=1\ntrain() { exit 0; }": ":2: 'train",
}


@pytest.mark.parametrize(("text", "message"), ERRORS.items(), ids=repr)
def test_what_is_no_setting_is_an_error_that_names_the_file(text, message, write):
    path = write(text)
    with pytest.raises(ValueError, match=f"{path}.*{message}"):
        training_file.read(path)


def test_a_command_takes_the_last_value_of_a_flag():
    assert last_value(["--a", "1", "--b", "--a", "2"], "--a") == "2" and last_value(["--a"], "--a") is None and last_value([], "--a") is None


def test_dry_runs_print_commands_and_the_work_to_expect(tmp_path):
    (tmp_path / "train.tsv").write_text("id\tn_frames\nu1\t900\nu2\t100\n")
    (tmp_path / "config.yaml").write_text("")
    script = (
        f'set -euo pipefail; source "{RECIPES}/pipeline.sh"; dry_run=1; MODEL_ARGS=(--arch x); AVERAGE_LAST=1; '
        f'TRAINING_ARGS=(--max-tokens 400 --update-freq 2 --max-update 1234567); train "{tmp_path}" out; '
        f'TRAINING_ARGS+=(--max-tokens 4000); train "{tmp_path}" out; '
        f'expected_frames=500; TRAINING_ARGS=(--max-tokens 9 --max-update 100); train "{tmp_path}/none" out; TRAINING_ARGS=(); train none out; '
        "summary test out"
    )
    process = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert [line.strip() for line in process.stdout.splitlines() if line.strip().startswith("#")] == [
        "# at most 1,234,567 updates of up to 800 frames on one GPU, 987653 times the 1,000 of the training set",
        "# at most 1,234,567 updates of up to 8,000 frames on one GPU, 1234567 times the 1,000 of the training set",
        "# at most 100 updates of up to 9 frames on one GPU, 1 times the 500 of the training set",
        "# no bound on the work: --max-update and --max-tokens would set one",
    ]
    assert process.stdout.count("$ fairseq-train ") == 4 and not Path("out").exists()


def test_the_work_of_several_trainings_adds_up(tmp_path):
    (tmp_path / "train.tsv").write_text("id\tn_frames\nu1\t900\nu2\t100\n")
    arguments = ["--max-tokens", "400", "--update-freq", "2", "--max-update", "1234567"]
    works = [expected_work.expected(tmp_path, words) for words in (arguments, [*arguments, "--max-tokens", "4000"])]
    assert works == [Work(1234567, 800, 1000), Work(1234567, 8000, 1000)]
    assert sum(work.updates for work in works) == 2_469_134 and sum(work.frames for work in works) == 1234567 * 1800
    assert expected_work.expected(tmp_path / "none", ["--max-tokens", "9", "--max-update", "2"]).frames == 18
