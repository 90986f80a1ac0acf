"""What the recipes make of model and training files before any command runs."""

import subprocess
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def bash(script):
    """The words that a script prints after sourcing what the recipes share."""
    sources = f'set -euo pipefail; recipes="{RECIPES}"; source "$recipes/pipeline.sh"; source "$recipes/experiment.sh"; '
    process = subprocess.run(["bash", "-c", sources + script], capture_output=True, text=True)
    return process.returncode, process.stdout.split("\n"), process.stderr


def value_of(words, flag):
    """The value that a command line gives a flag: the last one wins."""
    return words[len(words) - words[::-1].index(flag)]


@pytest.mark.parametrize(("training", "frames"), [("paper.sh", 320_000), ("paper_covost2.sh", 256_000)])
@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_an_update_has_the_papers_frames_on_any_number_of_gpus(training, frames, gpus):
    _, words, _ = bash(f'source "$recipes/training/{training}"; share_among_gpus {gpus}; printf "%s\\n" "${{TRAINING_ARGS[@]}}"')
    assert gpus * int(value_of(words, "--max-tokens")) * int(value_of(words, "--update-freq")) == frames


def test_a_number_of_gpus_that_would_change_the_batch_is_refused():
    status, _, error = bash('source "$recipes/training/paper.sh"; share_among_gpus 3')
    assert status != 0 and "--update-freq 8 cannot be shared among 3 GPUs" in error


@pytest.mark.parametrize(("row", "expected"), [("row5.1_*", (4, 3, 2)), ("row3_*", (None, None, 6)), ("row6_*", (None, None, 11))])
def test_a_training_file_can_divide_the_layers_of_a_model(row, expected):
    _, words, _ = bash(f'LAYERS_DIVIDED_BY=3 SIZE_ARGS=(--dropout 0); use_model "$recipes"/models/{row}.sh; printf "%s\\n" "${{MODEL_ARGS[@]}}"')
    for flag, value in zip(("--encoder-layers", "--ctc-layer", "--decoder-layers"), expected):
        assert (flag in words) == (value is not None) and (value is None or int(value_of(words, flag)) == value)
    assert value_of(words, "--dropout") == "0"


def test_dry_runs_print_commands_and_add_up_the_work(tmp_path):
    (tmp_path / "train.tsv").write_text("id\tn_frames\nu1\t900\nu2\t100\n")
    (tmp_path / "config.yaml").write_text("")
    script = (
        f"dry_run=1; TRAINING_ARGS=(--max-tokens 400 --update-freq 2 --max-update 1234567); MODEL_ARGS=(--arch x); AVERAGE_LAST=1; "
        f'train "{tmp_path}" out; '
        f'TRAINING_ARGS+=(--max-tokens 4000); train "{tmp_path}" out; grouped "${{expected_total[1]}}"; grouped "${{expected_total[2]}}"'
    )
    status, lines, _ = bash(script)
    works = [line.strip() for line in lines if line.strip().startswith("#")]
    assert status == 0 and works == [
        "# at most 1,234,567 updates of up to 800 frames on one GPU, 987653 times the 1,000 of the training set",
        "# at most 1,234,567 updates of up to 8,000 frames on one GPU, 1234567 times the 1,000 of the training set",
    ]
    assert lines[-3:-1] == ["2,469,134", f"{1234567 * 1800:,}"]
    assert not Path("out").exists()
