"""Outputs and logs of any bytes: what they say, or one line that names the file; never another error."""

from hypothesis import given, settings
from hypothesis import strategies as some

from speechllm_plugin.outputs import logs
from speechllm_plugin.outputs.generated_sentences import read_sentences

NUMBER = some.integers(-3, 30).map(str) | some.sampled_from(["-0.5", "nan", "inf", "1e999", "", "x", "٣", "9" * 5000])
GENERATED = some.lists(
    some.builds(lambda kind, row, score, text: f"{kind}-{row}\t{score}\t{text}", some.sampled_from("STHDPAIE"), NUMBER, NUMBER, some.text(max_size=8))
    | some.text(max_size=20),
    max_size=8,
)
VALUE = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=6) | NUMBER | some.just("[" * 2000)
KEYS = ["train_loss", "train_nll_loss", "train_num_updates", "train_frames_per_second", "dev_loss", "frames_per_second", "gb_free", "num_updates"]
LOGGED = some.lists(
    some.builds(
        lambda name, values: f"2026 | INFO | {name} | {{{', '.join(f'{key!r}: {value!r}' for key, value in values.items())}}}".replace("'", '"'),
        some.sampled_from(["train", "dev", "train_inner"]),
        some.dictionaries(some.sampled_from(KEYS), VALUE, max_size=5),
    )
    | some.sampled_from(["num. shared model params: 1,2,3", "total memory = 1.2.3 GB", "peak memory: process , MiB", "$ fairseq-generate a --path"])
    | some.text(max_size=20),
    max_size=8,
)


def written(folder, lines):
    path = folder / "some.txt"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass") if isinstance(lines, list) else lines)
    return path


@given(GENERATED | some.binary(max_size=80))
@settings(max_examples=250, deadline=None)
def test_an_output_is_read_or_refused(tmp_path_factory, lines):
    path = written(tmp_path_factory.getbasetemp(), lines)
    try:
        sentences = read_sentences([path])
    except ValueError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
    else:
        assert all(sentence.row >= 0 and sentence.hypotheses for sentence in sentences)


@given(LOGGED | some.binary(max_size=80))
@settings(max_examples=250, deadline=None)
def test_a_log_is_read_whatever_it_holds(tmp_path_factory, lines):
    path = written(tmp_path_factory.getbasetemp(), lines)
    training, decoding = logs.read_training(path), logs.read_decoding(path)
    assert all(curve.updates == sorted(curve.updates) for curve in training.curves.values()) and decoding is not None
    try:
        logs.read_throughput(path)
    except ValueError as error:
        assert str(error).startswith(str(path))
