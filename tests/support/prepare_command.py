"""`speechllm prepare` in this process, and the manifests that it wrote."""

import argparse

from speechllm_plugin.commands import prepare as command
from speechllm_plugin.data import manifest


def prepare(corpus, root, out, *options):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(flag) for flag in (corpus, "--root", root, "--out", out, "--workers", "1", *options)]))


def manifests_in(folder):
    """Name -> utterances, of every manifest in a data folder."""
    return {path.stem: manifest.read(path) for path in folder.glob("*.tsv")}
