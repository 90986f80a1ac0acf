"""Model and training files are read as a shell reads them, and what only a shell could read is refused with its place."""

import re
import subprocess
from pathlib import Path

import pytest

from speechllm_plugin.files import shell_arrays

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    [
        *ROOT.glob("recipes/models/**/*.sh"),
        *ROOT.glob("recipes/training/*.sh"),
        *ROOT.glob("examples/**/models/*.sh"),
        *ROOT.glob("examples/*/training.sh"),
    ]
)


def words_of_bash(path, name, keyed=False):
    """The words, or the keys and words in turn, that bash sees in a variable after sourcing the file."""
    expansion = f'"${{{name}[@]@k}}"' if keyed else f'"${{{name}[@]}}"'
    script = f'set -euo pipefail; declare -A VOCAB_SIZE; source "$1"; for word in {expansion}; do printf "%s\\0" "$word"; done'
    process = subprocess.run(["bash", "-c", script, "bash", path], capture_output=True, text=True, check=True)
    return process.stdout.split("\0")[:-1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_recipes_means_what_it_means_to_bash(path):
    variables = shell_arrays.read(path)
    assert variables
    for name, value in variables.items():
        if isinstance(value, dict):
            words = words_of_bash(path, name, keyed=True)
            assert dict(zip(words[::2], words[1::2])) == value
        else:
            assert words_of_bash(path, name) == ([value] if isinstance(value, str) else value)
    assert len(FILES) >= 40


ACCEPTED = [
    "A=()",
    "A=(\n)\n",
    "# a comment (with $HOME)\n\nA=(a # one\n  b#c 'd e' \"f g\"'h'i # two (\n  # three\n)",
    "A=(--betas '(0.9, 0.98)' \"(0.9, 0.98)\"'x')",
    "A=(a \\\n  b)\nA+=(c)  # more\nB=x B=y A+=(d)",
    "A+=(a)",
    "A=(--x=1 --path=./a/b:c ü 1e-3 100% a@b)",
    "A='a b'\"c\"d",
    "A=",
    'A=("" \'\' \'it is "quoted"\' "it\'s")',
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_words_quotes_comments_and_additions_are_bashs(text, tmp_path):
    path = tmp_path / "model.sh"
    path.write_text(text, encoding="utf-8")
    value = shell_arrays.read(path)["A"]
    assert words_of_bash(path, "A") == ([value] if isinstance(value, str) else value)


def test_a_sourced_file_stands_where_it_is_named(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base/one.sh").write_text("A=(a)\nN=1\nV=([x]=1 [y]=2)\n")
    (tmp_path / "two.sh").write_text('N=0\nsource "$(dirname "${BASH_SOURCE[0]}")/base/one.sh"  # as it is\nA+=(b)\nV+=([y]=3)\n')
    assert shell_arrays.read(tmp_path / "two.sh") == {"N": "1", "A": ["a", "b"], "V": {"x": "1", "y": "3"}}


REFUSED = {
    "A=(a $HOME)": (1, "'$HOME)'"),
    'A=(a\n  "$(date)")': (2, "'\"$(date)\")'"),
    "A=(`date`)": (1, "'`date`)'"),
    "A=(*.sh)": (1, "'*.sh)'"),
    "A=(x{1,2})": (1, "'x{1,2})'"),
    "A=(~/x)": (1, "'~/x)'"),
    "A=(a;b)": (1, "'a;b)'"),
    "A=(a) rm -rf x": (1, "'rm -rf x'"),
    "A=(a); rm x": (1, "'); rm x'"),
    "\n\nA=$(date)": (3, "'A=$(date)'"),
    "train() { exit 0; }": (1, "'train"),
    "export A=1": (1, "'export A=1'"),
    "declare -A V=([a]=1)": (1, "'declare"),
    "if true; then A=1; fi": (1, "'if true"),
    "source other.sh": (1, "'source other.sh'"),
    'source "$HOME/other.sh"': (1, "'source"),
    'source "$(dirname "$0")/other.sh"': (1, "'source"),
    ". ./other.sh": (1, "'. ./other.sh'"),
    "A=(a": (1, "an array without its closing parenthesis"),
    'A=("a)': (1, "'\"a)'"),
    "A=([x]=1 y)": (1, "y in an array of which only some words have a key"),
    "A=(a)b": (1, "')b'"),
    "A=(a)\nA+=([x]=1)": (2, "A+= of another kind of value"),
    "A=a\nA+=(b)": (2, "A+= of another kind of value"),
    "A+=b": (1, "'A+=b'"),
    "A=(a)\r\n": (1, ""),
    "A=(a > file)": (1, "'> file)'"),
    "A=(a!b)": (1, "'a!b)'"),
    'A=("a\\"b")': (1, ""),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.items(), ids=repr)
def test_what_only_a_shell_could_read_is_refused_with_its_place(text, expected, tmp_path):
    path, (line, what) = tmp_path / "model.sh", expected
    path.write_bytes(text.encode())
    with pytest.raises(
        ValueError, match=f"^{path}:{line}: {re.escape(what)}.* is not accepted: the file is read, not run, and may hold only comments, NAME=word"
    ):
        shell_arrays.read(path)


def test_nothing_is_run(tmp_path):
    path = tmp_path / "model.sh"
    path.write_text(f"A=(a)\ntouch {tmp_path}/made\n")
    with pytest.raises(ValueError, match="'touch "):
        shell_arrays.read(path)
    assert not (tmp_path / "made").exists()


def test_a_file_that_sources_itself_or_nothing_is_an_error(tmp_path):
    (tmp_path / "a.sh").write_text('\nsource "$(dirname "${BASH_SOURCE[0]}")/b.sh"\n')
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/a.sh:2: there is no {tmp_path}/b.sh to source"):
        shell_arrays.read(tmp_path / "a.sh")
    (tmp_path / "b.sh").write_text('source "$(dirname "${BASH_SOURCE[0]}")/a.sh"\n')
    with pytest.raises(ValueError, match=f"{tmp_path}/a.sh: sources itself"):
        shell_arrays.read(tmp_path / "a.sh")


def test_a_file_in_another_encoding_is_an_error(tmp_path):
    (tmp_path / "a.sh").write_bytes("A=(für)".encode("latin-1"))
    with pytest.raises(ValueError, match="a.sh: must be UTF-8"):
        shell_arrays.read(tmp_path / "a.sh")
