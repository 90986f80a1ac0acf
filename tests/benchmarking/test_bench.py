"""`speechllm bench decode`: its models and searches compute what they should, its numbers add up, its errors name the flag."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import ROOT
from fairseq.sequence_generator import SequenceGenerator
from searched_models import make_sample, make_searched_model
from searches import assert_same_n_best
from tiny_model import DECODERS, FEW_ENCODERS, task

from speechllm_plugin.benchmarking import measured_tables, plot
from speechllm_plugin.benchmarking.measurement import CacheWatch, Measurement, PeakMemory, storages
from speechllm_plugin.benchmarking.random_model import label_runs
from speechllm_plugin.benchmarking.searches import SEARCHES, NgramBlocker
from speechllm_plugin.benchmarking.stock_decoder import StockModel
from speechllm_plugin.benchmarking.workload import Workload, noise, sweep
from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.data.features import NUM_BINS
from speechllm_plugin.preparation.feature_archive import FeatureArchive

DIM, LAYERS, FRAMES, BATCH, BEAM, TOKENS = 16, 2, 41, 3, 4, 6
SMALL = (
    f"--encoder-embed-dim {DIM} --decoder-embed-dim {DIM} --encoder-ffn-embed-dim 16 --decoder-ffn-embed-dim 16 --encoder-attention-heads 2 "
    f"--decoder-attention-heads 2 --encoder-layers 8 --decoder-layers {LAYERS} --conv-channels 16 --depthwise-conv-kernel-size 3"
)
SIZES = ["--vocab-size", "50", "--transcript-vocab-size", "30", "--model-flags", SMALL, "--repeats", "1", "--device", "cpu"]
WORK = ["--batch", BATCH, "--seconds", FRAMES / 100, "--tokens", TOKENS, "--beam", BEAM]


def rows(*names):
    return [next((ROOT / "recipes" / "models").glob(f"{name}_*.sh")) for name in names]


@pytest.fixture
def run(tmp_path, capsys):
    """speechllm bench decode ARGUMENTS --json: the object in the file, and what is printed."""

    def decode(*arguments, sizes=SIZES):
        status = cli.main(["bench", "decode", *map(str, arguments), *sizes, "--json", str(tmp_path / "bench.json")])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return json.loads((tmp_path / "bench.json").read_text(encoding="utf-8")), printed.out

    return decode


@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize("decoder", DECODERS)
def test_the_stock_form_finds_what_the_model_itself_finds_under_fairseqs_search(decoder, beam_size):
    for encoder in FEW_ENCODERS:
        model, options = make_searched_model(decoder, encoder), {"beam_size": beam_size, "max_len_b": 12}
        dictionary, sample = task().target_dictionary, make_sample()
        expected = SequenceGenerator([model], dictionary, **options).generate(None, sample)
        assert_same_n_best(SequenceGenerator([StockModel(model)], dictionary, **options).generate(None, sample), expected)


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_the_stock_form_keeps_a_copy_of_the_speech_for_every_hypothesis(decoder):
    model = make_searched_model(decoder)
    stock, num_states = StockModel(model), 15  # 57 frames
    with CacheWatch(stock.decoder) as cache:
        SequenceGenerator([stock], task().target_dictionary, beam_size=5, **{"min_len": 5, "max_len_b": 5}).generate(None, make_sample())
    num_keys = num_states + 6
    masks = 20 * num_keys if decoder == "dfp" else 20 * num_states + 20 * 6
    assert cache.num_bytes() == 2 * 2 * 20 * num_keys * 16 * 4 + masks


def test_ngrams_are_blocked_as_fairseqs_code_does_on_the_text_alone():
    from fairseq.ngram_repeat_block import NGramRepeatBlock

    tokens, log_probs = torch.randint(4, 7, (6, 12)), torch.randn(6, 9)
    log_probs[:, 1] = -torch.inf  # fairseq never chooses padding
    expected = NGramRepeatBlock(3, use_extension=False)(tokens[:, :10], log_probs.clone(), 2, 3, 9)
    assert NgramBlocker(3, pad=1)(tokens, log_probs.clone(), 2, 3, 9).equal(expected)
    assert expected.isinf().sum() > 6


def test_peak_memory_counts_what_lives_at_the_same_time():
    with PeakMemory(torch.device("cpu")) as memory:
        kept = torch.ones(1000)
        for _ in range(5):
            torch.ones(500)
        del kept
        torch.ones(700)
    assert memory.peak_bytes == pytest.approx(4 * 1500, rel=0.05)


def test_cached_storages_are_counted_once_and_weights_not_at_all():
    tensor = torch.ones(10)
    state = SimpleNamespace(pair=(tensor, tensor[:3]), mask={"a": torch.ones(2, dtype=torch.bool)}, layer=torch.nn.Linear(3, 3))
    state.itself = state
    assert sum(storages([state, tensor]).values()) == 42


def test_a_sweep_is_every_combination():
    swept = sweep(Workload(2, 10.0, None, 5), ["seconds=5,20.5", "beam=1,3"])
    assert [(work.seconds, work.beam) for work in swept] == [(5, 1), (5, 3), (20.5, 1), (20.5, 3)]
    assert [noise(work)[0].num_tokens for work in swept] == [20, 20, 82, 82]
    assert noise(swept[0])[0].features.equal(noise(swept[1])[0].features)


def test_ctc_labels_change_at_the_rate():
    labels = label_runs(torch.randn(2, 10, 4), 2.5).argmax(-1)
    assert labels.tolist() == [[0, 0, 0, 1, 1, 2, 2, 2, 0, 0]] * 2


def test_every_row_is_measured_with_both_searches_and_finds_the_same(run, tmp_path):
    names = ["row1", "row2", "row3", "row4", "row4.1", "row5", "row5.1", "row6"]
    table = tmp_path / "table2.md"
    result, printed = run(*rows(*names), *WORK, "--against", "fairseq", "--table2", table)
    measured = result["measurements"]
    assert [(measured_tables.row_of(each["model"]), each["search"]) for each in measured] == [
        (name, search) for name in names for search in ("plugin", "fairseq")
    ]
    assert [compared["same_texts"] for compared in result["comparisons"]] == [1.0] * 8
    for each in measured:
        assert each["error"] is None and each["sentences"] == BATCH and each["steps"] == TOKENS
        assert each["sentences_per_second"] * each["seconds"] == pytest.approx(BATCH)
        assert each["real_time_factor"] * BATCH * FRAMES / 100 == pytest.approx(each["seconds"])
        assert 0 < each["cache_bytes"] < each["peak_bytes"]
        assert each["model"] in printed
    for ours, theirs, compared in zip(measured[::2], measured[1::2], result["comparisons"]):
        assert compared["time_ratio"] == pytest.approx(theirs["seconds"] / ours["seconds"])
        assert ours["parameters"] == theirs["parameters"] and ours["cache_bytes"] < theirs["cache_bytes"]
    assert [each["compression_rate"] for each in measured[::2]] == [None] * 4 + [3.0, None, 3.0, None]
    lines = table.read_text(encoding="utf-8").splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == names
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert [lines[2].split("|")[column].strip() for column in (3, 4, 5, 6, 7, 8, 9, 10)] == ["1.00"] * 6 + ["1", "1"]
    assert lines[7].split("|")[9].strip() == "0.94"


def test_decoding_with_ctc_is_measured_beside_the_decoder_alone(run):
    result, printed = run(*rows("row5.1", "row4"), *WORK, "--ctc-decoding-weight", 0.3, "--against", "fairseq")
    assert [each["search"] for each in result["measurements"]] == ["plugin", "plugin+ctc", "fairseq"] * 2
    assert [compared["against"] for compared in result["comparisons"]] == ["plugin+ctc", "fairseq"] * 2
    assert all(each["time_ratio"] > 0 for each in result["comparisons"])
    assert result["comparisons"][0]["same_texts"] < 1 == result["comparisons"][1]["same_texts"]


def test_half_the_compression_rate_leaves_twice_the_states(run):
    cache = {}
    for rate in (2, 4):
        result, _ = run(*rows("row4.1"), *WORK, "--tokens", 1, "--seconds", 1.6, "--compression-rate", rate)
        cache[rate] = result["measurements"][0]["cache_bytes"]
        assert result["measurements"][0]["compression_rate"] == rate
    speech = {rate: 40 / rate * BATCH * (2 * LAYERS * DIM * 4 + 1) for rate in cache}
    assert cache[2] - cache[4] == pytest.approx(speech[2] - speech[4], rel=0.2)  # and masks


@pytest.mark.parametrize("suffix", plot.SUFFIXES)
def test_a_sweep_is_drawn(run, tmp_path, suffix):
    picture = tmp_path / f"plot{suffix}"
    run(*rows("row5"), "--batch", 2, "--sweep", "seconds=0.2,0.4", "beam=1,2", "--plot", picture)
    assert picture.stat().st_size > 1000


def test_the_utterances_of_a_manifest_are_decoded(run, tmp_path):
    rng, frames, utterances = np.random.default_rng(0), [30, 70, 1, 52], []
    with FeatureArchive(tmp_path / "fbank80.zip") as archive:
        for number, length in enumerate(frames):
            source = archive.add(f"u{number}", rng.standard_normal((length, NUM_BINS)).astype(np.float32))
            utterances.append(manifest.Utterance(f"u{number}", source, length, "a", "", "b", "en", "de"))
    manifest.write(tmp_path / "test.tsv", utterances)
    (tmp_path / "config.yaml").write_text("vocab_filename: target.txt\nrelative_audio_root: .\n", encoding="utf-8")
    result, _ = run(*rows("row1"), "--manifest", tmp_path / "test.tsv", "--batch", 3, "--beam", 2, "--against", "fairseq")
    (ours, theirs), (compared,) = result["measurements"], result["comparisons"]
    assert ours["sentences"] == theirs["sentences"] == 4 and compared["same_texts"] == 1.0
    assert ours["audio_seconds"] == pytest.approx(np.mean(frames) / 100)
    assert ours["steps"] == 3 + 1  # four tokens a second of 0.70 s, and at least one


def test_running_out_of_memory_is_a_result(run, monkeypatch):
    class Greedy:
        def generate(self, models, sample):
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(SEARCHES, "fairseq", lambda model, dictionary, **options: (StockModel(model), Greedy()))
    result, printed = run(*rows("row1"), *WORK, "--against", "fairseq")
    assert [each["error"] for each in result["measurements"]] == [None, "out of memory"]
    assert result["comparisons"][0]["time_ratio"] is None
    assert printed.count("out of memory") == 2
    assert measured_tables.table2([Measurement(**each) for each in result["measurements"]]).count("out of memory") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "width=1"], "--sweep takes each of batch, seconds, tokens, beam once"),
        (["--sweep", "beam=1,x"], "--sweep beam takes numbers separated by commas, but has '1,x'"),
        (["--sweep", "beam=0"], "beam must be at least 1, but is 0"),
        (["--seconds", "0"], "seconds must be at least 0.01, but is 0.0"),
        (["--seconds", "-3"], "seconds must be at least 0.01, but is -3.0"),
        (["--seconds", "nan"], "seconds must be at least 0.01, but is nan"),
        (["--seconds", "1e308"], "seconds must be at most 100,000,000, but is 1e+308"),
        (["--sweep", "seconds=0,1"], "seconds must be at least 0.01, but is 0.0"),
        (["--seconds", "0.001"], "seconds must be at least 0.01, but is 0.001"),
        (["--seconds", "300"], "texts can have 1024 tokens, but 300 s get 1200: give --tokens"),
        (["--repeats", "0"], "--repeats must be at least 1, but is 0"),
        (["--compression-rate", "2"], "--compression-rate is for compression that depends on the data"),
        (["--plot", "plot.gif"], "--plot must end with one of .png, .pdf, .svg, but is plot.gif"),
        (["--plot", "plot.png", "--sweep", "tokens=1,2"], "leave --sweep tokens out, or --plot"),
        (["--table2", "t.md"], "--table2 shows two searches side by side: give --against fairseq"),
        (["--table2", "t.md", "--against", "fairseq", "--sweep", "beam=1,2"], "--table2 is of one workload, but --sweep makes 2"),
        (["--device", "tpu"], "--device"),
        (["--model-flags", "--depth 3"], "--depth 3: no flag of xattn_transformer"),
        (["--no-repeat-ngram-size", "-1"], "--no-repeat-ngram-size must not be negative"),
        (["--manifest", "x.tsv", "--seconds", "3"], "leave --seconds and --sweep seconds out"),
        (["--manifest", "x.tsv"], "x.tsv"),
        (["--ctc-decoding-weight", "0.3"], "--ctc-decoding-weight needs a CTC head, but --ctc-layer is 0"),
        (["--against", "fairseq", "--model-flags=--decoder-positions rope"], "measures decoders with --decoder-positions sinusoidal, but it is rope"),
        (
            ["--against", "fairseq", "--model-flags=--decoder-layer conformer"],
            "measures decoders with --decoder-layer transformer, but it is conformer",
        ),
        (["--ctc-decoding-weight", "1"], "--ctc-decoding-weight must be above 0 and below 1, but is 1.0"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line_before_anything_is_measured(arguments, message, capsys):
    assert cli.main(["bench", "decode", str(rows("row1")[0]), *arguments]) == 1
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1
    assert printed.out == ""


def test_table_2_needs_row_1(capsys):
    assert cli.main(["bench", "decode", str(rows("row2")[0]), "--table2", "t.md", "--against", "fairseq"]) == 1
    assert "recipes/models/row1_xattn_transformer.sh" in capsys.readouterr().err
