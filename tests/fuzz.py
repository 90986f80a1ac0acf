"""Fuzz the readers of files with coverage feedback, as long as wanted:  python3 tests/fuzz.py READER [--runs N]

Needs atheris (pip install atheris). Bytes must give rows, or a ValueError or FileNotFoundError of one line; anything else ends the run with the
bytes in a file `crash-...` in the working directory. What hypothesis finds with fewer examples is in tests/*/test_*fuzz*.py.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["speechllm_plugin"]):
    from speechllm_plugin.data import manifest
    from speechllm_plugin.data.data_config import DataConfig
    from speechllm_plugin.files import yaml_file
    from speechllm_plugin.outputs import generated_sentences, logs
    from speechllm_plugin.preparation import corpora

READERS: dict[str, Callable[[Path], object]] = {
    "config": DataConfig.load,
    "log": logs.read_training,
    "manifest": manifest.read,
    "output": lambda path: generated_sentences.read_sentences([path]),
    "table": lambda path: corpora.read("tsv", path.parent, ["train"], [(None, None)]),
    "yaml": lambda path: yaml_file.read(path, absent="is not there"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--runs", type=int, default=100_000, metavar="N", help="inputs that are tried (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.tsv")

        def read(content: bytes) -> None:
            path.write_bytes(content)
            try:
                READERS[args.reader](path)
            except (ValueError, FileNotFoundError) as error:
                if "\n" in str(error) or not str(error).strip():
                    raise AssertionError(f"no line of text: {error!r}") from error

        atheris.Setup([sys.argv[0], f"-runs={args.runs}", "-max_len=200", "-verbosity=0"], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
