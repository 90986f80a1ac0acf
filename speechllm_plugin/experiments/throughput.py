"""A line of recipes/throughput.sh's table: how fast a model trains and decodes, and the hours that the study's training takes."""

from pathlib import Path

from speechllm_plugin.experiments.summary_table import NOT_KNOWN
from speechllm_plugin.files import text_table
from speechllm_plugin.outputs import logs

# The study on MuST-C (recipes/training/paper.sh).
UPDATES, FRAMES_PER_UPDATE = 100_000, 320_000
THROUGHPUT_HEADINGS = ("model", "training arguments", "frames/s", f"hours for {UPDATES:,} updates", "GPU GiB in training", "decoding sentences/s")


def cells(log: Path, model: str, arguments: str) -> list[str]:
    """The cells of a model; the log is of its training and then its decoding."""
    speed, gibibytes = logs.read_throughput(log)
    decoding = logs.read_decoding(log)
    if decoding is None or decoding.sentences_per_second is None:
        raise ValueError(f"{log}: does not say how many sentences a second were decoded; fairseq-generate did not end")
    hours = UPDATES * FRAMES_PER_UPDATE / speed / 3600
    memory = NOT_KNOWN if gibibytes is None else f"{gibibytes:.1f}"
    return [model, arguments or "float32", f"{speed:,.0f}", f"{hours:,.0f}", memory, f"{decoding.sentences_per_second:.1f}"]


def main(*arguments: str) -> None:
    """Print the headings of the table, or with LOG MODEL TRAINING_ARGUMENTS a line of it."""
    if arguments:
        log, model, training_arguments = arguments
        print(text_table.markdown_row(cells(Path(log), model, training_arguments)))
    else:
        print(*text_table.markdown(THROUGHPUT_HEADINGS, []), sep="\n")
