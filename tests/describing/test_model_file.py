"""What is wrong with a model file, or with an argument of `speechllm describe`, is one line that names it."""

import re

import pytest

from speechllm_plugin.commands import cli

CTC = "--arch dfp_transformer --encoder transformer --ctc-layer 2"

# text of the model file -> what the message says after the file's name
FILES = {
    "": "sets no flags",
    "MODEL_ARGS=()": "sets no flags",
    'MODEL_ARGS=("")': "sets no flags",
    "MODEL_FLAGS=(--arch dfp_transformer)": "sets no flags",
    'MODEL_ARGS="--arch dfp_transformer"': "MODEL_ARGS must be an array of words, .* but is '--arch dfp_transformer'",
    "MODEL_ARGS=(--arch dfp_transformer": "1: an array without its closing parenthesis is not accepted: the file is read, not run",
    "source missing_file.sh": "1: 'source missing_file.sh' is not accepted",
    'source "$(dirname "${BASH_SOURCE[0]}")/missing_file.sh"': "1: there is no .*/missing_file.sh to source",
    "nonsense_command": "1: 'nonsense_command' is not accepted",
    "exit 3": "1: 'exit 3' is not accepted",
    'MODEL_ARGS=(--arch "$UNSET_VARIABLE")': "1: '\"\\$UNSET_VARIABLE\"\\)' is not accepted",
    "MODEL_ARGS=(--encoder conformer)": "the following arguments are required: --arch",
    "MODEL_ARGS=(--arch s2t_transformer)": "--arch: invalid choice: 's2t_transformer'",
    "MODEL_ARGS=(--arch dfp_transformer --encodr conformer)": "--encodr conformer: no flag of dfp_transformer",
    "MODEL_ARGS=(--arch dfp_transformer --lr 2e-3)": "--lr 2e-3: no flag of dfp_transformer",
    "MODEL_ARGS=(--arch dfp_transformer --encoder-lay 3)": "--encoder-lay 3: no flag of dfp_transformer",
    "MODEL_ARGS=(--arch dfp_transformer --causal-prefix true)": "true: no flag of dfp_transformer",
    "MODEL_ARGS=(--arch xattn_transformer --causal-prefix)": "--causal-prefix: no flag of xattn_transformer",
    "MODEL_ARGS=(--arch dfp_transformer --encoder lstm)": "--encoder: invalid choice: 'lstm'",
    "MODEL_ARGS=(--arch dfp_transformer --encoder-layers many)": "--encoder-layers: invalid int value: 'many'",
    "MODEL_ARGS=(--arch dfp_transformer --encoder-layers)": "--encoder-layers: expected one argument",
    "MODEL_ARGS=(--arch dfp_transformer --encoder-embed-dim 500)": "--encoder-embed-dim must be even",
    "MODEL_ARGS=(--arch dfp_transformer --ctc-layer 13)": "--ctc-layer must be between 0 and --encoder-layers",
}
# arguments -> what the message says
ARGUMENTS = [
    (["--vocab-size", "4", "--transcript-vocab-size", "9"], "--vocab-size must be at least 5, but is 4"),
    (["--vocab-size", "9", "--transcript-vocab-size", "-1"], "--transcript-vocab-size must be at least 5, but is -1"),
    (["--vocab-size", "9"], "--ctc-layer 2 predicts transcripts: give --transcript-vocab-size"),
    (["--vocab-size", "9", "--transcript-vocab-size", "9", "--seconds", "0"], "--seconds must be at least 0.01, but is 0.0"),
    (["--vocab-size", "9", "--transcript-vocab-size", "9", "--seconds", "inf"], "--seconds must be .*, but is inf"),
    (["--vocab-size", "9", "--transcript-vocab-size", "9", "--seconds", "nan"], "--seconds must be .*, but is nan"),
    (["--vocab-size", "9", "--transcript-vocab-size", "9", "--seconds", "1e308"], "--seconds must be at most 100,000,000, but is 1e\\+308"),
    (["--vocab-size", "9", "--transcript-vocab-size", "9", "--tokens", "0"], "--tokens must be at least 1, but is 0"),
    (["--vocab-size", "9", "--transcript-vocab-size", "9", "--beam", "0"], "--beam must be at least 1, but is 0"),
    (["--vocab-size", "9", "--transcript-vocab-size", "9", "--compression-rate", "2"], "--ctc-compression is none: leave it out"),
]


def error_of(capsys, *arguments):
    assert cli.main(["describe", *map(str, arguments)]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    return printed.err


def assert_matches(error, start, message):
    assert error.startswith(start) and re.search(message, error[len(start) :]), error


@pytest.mark.parametrize(("text", "message"), FILES.items(), ids=str)
def test_errors_of_a_model_file_name_it(text, message, tmp_path, capsys):
    path = tmp_path / "model.sh"
    path.write_text(f"{text}\n", encoding="utf-8")
    assert_matches(error_of(capsys, path, "--vocab-size", "9", "--transcript-vocab-size", "9"), f"speechllm: error: {path}:", message)


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS, ids=str)
def test_errors_of_an_argument_name_it(arguments, message, tmp_path, capsys):
    path = tmp_path / "model.sh"
    path.write_text(f"MODEL_ARGS=({CTC})\n", encoding="utf-8")
    assert_matches(error_of(capsys, path, *arguments), "speechllm: error: ", message)


@pytest.mark.parametrize("flag", ["fixed", "avg"])
def test_a_rate_is_given_where_the_data_decide(flag, tmp_path, capsys):
    path = tmp_path / "model.sh"
    path.write_text(f"MODEL_ARGS=({CTC} --ctc-compression {flag})\n", encoding="utf-8")
    error = error_of(capsys, path, "--vocab-size", "9", "--transcript-vocab-size", "9", "--compression-rate", "2" if flag == "fixed" else "0.5")
    assert ("--ctc-compression is fixed: leave it out" if flag == "fixed" else "--compression-rate must be at least 1, but is 0.5") in error


def test_a_missing_file_and_a_folder_are_no_model_files(tmp_path, capsys):
    for path in (tmp_path / "missing.sh", tmp_path):
        assert f"{path}: no such model file" in error_of(capsys, path, "--vocab-size", "9")
