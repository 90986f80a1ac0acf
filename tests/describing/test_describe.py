"""`speechllm describe`: the study's models have its sizes, model files differ in what they should, and what is printed adds up."""

import json
import re
from pathlib import Path

import pytest
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from speechllm_plugin.commands import cli
from speechllm_plugin.describing import model_file, model_flags

MODELS = Path(__file__).resolve().parents[2] / "recipes" / "models"
ROWS = ["row1_", "row2_", "row3_", "row4_", "row4.1_", "row5_", "row5.1_", "row6_"]

# target and transcript types of MuST-C ASR, bilingual and multilingual ST, CoVoST2 ASR and ST
VOCABULARIES = [(5000, 5000), (8000, 5000), (32000, 5000), (32000, 32000), (5000, 32000)]
# Row 3 is as large as row 2, rows 4.1 and 5.1 as rows 4 and 5.
PARAMETERS = {
    "row1_": [71_207_936, 74_279_936, 98_855_936, 98_855_936, 71_207_936],
    "row2_": [64_898_048, 67_970_048, 92_546_048, 92_546_048, 64_898_048],
    "row3_": [64_898_048, 67_970_048, 92_546_048, 92_546_048, 64_898_048],
    "row4_": [111_822_217, 114_894_217, 139_470_217, 153_321_217, 125_673_217],
    "row4.1_": [111_822_217, 114_894_217, 139_470_217, 153_321_217, 125_673_217],
    "row5_": [105_512_329, 108_584_329, 133_160_329, 147_011_329, 119_363_329],
    "row5.1_": [105_512_329, 108_584_329, 133_160_329, 147_011_329, 119_363_329],
    "row6_": [109_031_424, 112_103_424, 136_679_424, 136_679_424, 109_031_424],
}
SMALL = (
    "--arch xattn_transformer --encoder conformer --encoder-layers 5 --ctc-layer 2 --decoder-layers 3 --encoder-embed-dim 32 "
    "--decoder-embed-dim 32 --encoder-ffn-embed-dim 48 --decoder-ffn-embed-dim 64 --encoder-attention-heads 4 --decoder-attention-heads 2 "
    "--conv-channels 16 --depthwise-conv-kernel-size 7"
)


def row(prefix):
    (path,) = MODELS.glob(f"{prefix}*.sh")
    return path


def lines(path):
    """The lines of a model file that do something."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


@pytest.fixture
def describe(capsys):
    """speechllm describe MODEL_FILE FLAGS --json, as a dictionary."""

    def run(path, *flags, vocab_size=40, transcript_vocab_size=30):
        sizes = ["--vocab-size", str(vocab_size), "--transcript-vocab-size", str(transcript_vocab_size)]
        status = cli.main(["describe", str(path), *sizes, *map(str, flags), "--json"])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return json.loads(printed.out)

    return run


@pytest.fixture
def write(tmp_path):
    """A model file of these flags, or of this text."""

    def run(flags="", text=None):
        path = tmp_path / "model.sh"
        path.write_text(f"MODEL_ARGS=({flags})\n" if text is None else text, encoding="utf-8")
        return path

    return run


@pytest.mark.parametrize("prefix", ROWS)
def test_parameters_of_every_row_and_vocabulary_are_the_papers(prefix, describe):
    counts = [describe(row(prefix), vocab_size=target, transcript_vocab_size=transcript)["parameters"] for target, transcript in VOCABULARIES]
    assert [count["total"] for count in counts] == PARAMETERS[prefix]
    for count, (target, transcript) in zip(counts, VOCABULARIES):
        assert sum(count.values()) == 2 * count["total"]
        assert count["input_embedding"] == count["output_projection"] == 512 * target
        assert count["ctc_head"] in (0, 513 * (transcript + 1))


def test_every_row_has_one_file():
    assert sorted(path.name for path in MODELS.glob("row*.sh")) == sorted(row(prefix).name for prefix in ROWS)


@pytest.mark.parametrize(
    ("one", "other", "only_in_one", "only_in_other"),
    [
        ("row1_", "row2_", ["--arch xattn_transformer"], ["--arch dfp_transformer", "--causal-prefix"]),
        ("row3_", "row6_", ["--decoder-layers 18"], ["--decoder-layers 32"]),
        ("row1_", "row4_", ["--encoder transformer"], ["--encoder conformer", "--ctc-layer 8"]),
        ("row2_", "row5_", ["--encoder transformer"], ["--encoder conformer", "--ctc-layer 8"]),
        ("row4_", "row5_", ["--arch xattn_transformer"], ["--arch dfp_transformer", "--causal-prefix"]),
        ("row4_", "row4.1_", [], ["--ctc-compression avg"]),
        ("row5_", "row5.1_", [], ["--ctc-compression avg"]),
        ("row4.1_", "row5.1_", ["--arch xattn_transformer"], ["--arch dfp_transformer", "--causal-prefix"]),
        ("row2_", "table3_row2_dfp_transformer_not_causal", ["--causal-prefix"], []),
        ("row3_", "table3_row3_decoder_only_18_causal", [], ["--causal-prefix"]),
        ("row5_", "table3_row5_dfp_conformer_not_causal", ["--causal-prefix"], []),
        ("row5.1_", "table3_row5.1_dfp_conformer_compressed_not_causal", ["--causal-prefix"], []),
        ("row6_", "table3_row6_decoder_only_32_causal", [], ["--causal-prefix"]),
    ],
)
def test_two_rows_differ_in_the_lines_that_differ(one, other, only_in_one, only_in_other):
    one, other = lines(row(one)), lines(row(other))
    assert [line for line in one if line not in other] == only_in_one
    assert [line for line in other if line not in one] == only_in_other
    assert [line for line in one if line in other] == [line for line in other if line in one]


@pytest.mark.parametrize("prefix", ["row4_", "row4.1_", "row5_", "row5.1_"])
def test_published_models_are_the_rows_with_the_legacy_options(prefix):
    published = MODELS / "published" / row(prefix).name
    assert model_flags.read_flags(published) == [*model_flags.read_flags(row(prefix)), "--relative-positions", "legacy", "--legacy-batch-norm"]


STUDY_FILES = sorted([*MODELS.glob("row*.sh"), *MODELS.glob("table3_*.sh"), *(MODELS / "published").glob("*.sh")])


@pytest.mark.parametrize("path", STUDY_FILES, ids=lambda path: str(path.relative_to(MODELS)))
def test_every_file_of_the_study_builds(path, describe):
    described = describe(path)
    legacy = path.parent != MODELS
    assert described["encoder"]["legacy_batch_norm"] == legacy == (described["encoder"]["positions"] == "legacy")
    if path.stem.startswith("table3_"):
        assert described["masks"]["speech"] == ("full" if path.stem.endswith("_not_causal") else "causal")
    assert len(STUDY_FILES) == 8 + 5 + 4


REDUCED_FILES = sorted(MODELS.glob("reduced_row*.sh"))


def test_reduced_rows_differ_from_the_papers_in_sizes_alone_and_decoder_only_ones_have_the_size_of_their_peers(describe):
    """The rows of one size are 1 to 3 and 4 to 6, as in the paper; each pair of one decoder is as near as whole layers allow."""
    parameters = {}
    for path in REDUCED_FILES:
        reduced = describe(path, vocab_size=1000, transcript_vocab_size=1000)
        prefix = path.stem.removeprefix("reduced_").split("_")[0] + "_"
        whole = describe(row(prefix))
        assert all(reduced[part] == whole[part] for part in ("arch", "masks"))
        assert all(reduced["encoder"][name] == whole["encoder"][name] for name in ("kind", "positions", "conv_kernel_sizes", "legacy_batch_norm"))
        assert (reduced["encoder"]["dim"], reduced["decoder"]["ffn_dim"], reduced["decoder"]["heads"]) == (256, 1024, 4)
        assert [bool(reduced[part]) for part in ("ctc", "compression")] == [bool(whole[part]) for part in ("ctc", "compression")]
        parameters[prefix] = reduced["parameters"]["total"]
    assert sorted(parameters) == sorted(ROWS)
    assert parameters["row3_"] == parameters["row2_"] and parameters["row6_"] == pytest.approx(parameters["row5_"], rel=0.02)
    assert (
        parameters["row4_"] == parameters["row4.1_"] == pytest.approx(parameters["row5_"], rel=0.07) and parameters["row5_"] == parameters["row5.1_"]
    )


@pytest.mark.parametrize("path", sorted({*MODELS.glob("reduced_*.sh")} - {*REDUCED_FILES}), ids=lambda path: path.stem)
def test_rows_with_newer_options_are_described(path, capsys):
    sizes = ["--vocab-size", "1000", "--transcript-vocab-size", "1000"]
    assert cli.main(["describe", str(path), *sizes]) == 0
    assert "positions     speech" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "encoder", "decoder", "line"),
    [
        ("", "sinusoidal", ("sinusoidal", "none"), "speech sinusoidal; text sinusoidal, none for the speech before it"),
        ("--prefix-positions own", "sinusoidal", ("sinusoidal", "own"), "text sinusoidal, and for the speech before it, which counts by itself"),
        ("--decoder-positions rope --prefix-positions continued", "sinusoidal", ("rope", "continued"), "text rotary (rope), counted on from the"),
        ("--encoder none --prefix-positions own", "none", ("sinusoidal", "own"), "speech none in the encoder; text sinusoidal, and for the"),
    ],
)
def test_positions_of_encoder_and_decoder_are_described(flags, encoder, decoder, line, write, describe, capsys):
    path = write(f"--arch dfp_transformer {flags}")
    described = describe(path)
    assert described["encoder"]["positions"] == encoder
    assert (described["decoder"]["positions"], described["decoder"]["prefix_positions"]) == decoder
    assert cli.main(["describe", str(path), "--vocab-size", "40", "--transcript-vocab-size", "30"]) == 0 and line in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")  # hydra's
def test_flags_mean_what_they_mean_to_fairseq_train(write):
    flags = f"{SMALL} --arch dfp_transformer --causal-prefix --relative-positions rope --dropout 0.3"
    flags += " --ctc-compression fixed --ctc-compression-stride 3"
    arch, cfg = model_file.read(write(flags))
    args = ["data", "--task", "speechllm_speech_to_text", "--criterion", "ctc_cross_entropy", "--optimizer", "adam", *flags.split()]
    theirs = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), args)).model
    assert {**vars(cfg), "_name": arch} == theirs
    assert arch == "dfp_transformer" and cfg.dropout == 0.3


def test_facts_of_a_compressed_prepending_model(describe):
    described = describe(row("row5.1_"), "--seconds", 10.01, "--tokens", 7, "--beam", 4, vocab_size=8000, transcript_vocab_size=5000)
    assert described["arch"] == "dfp_transformer" and described["name"] == "row5.1_dfp_conformer_compressed"
    assert described["masks"] == {"speech": "causal", "text": "causal"}
    assert described["ctc"] == {"layer": 8, "labels": 5001}
    assert described["compression"] == {"kind": "avg", "layer": 8, "max_length": None, "rate": 3.0, "rate_is_assumed": True}
    assert described["utterance"] == {"seconds": 10.01, "frames": 1001, "states": 251, "compressed_states": 84, "tokens": 7}
    assert described["encoder"]["positions"] == "xl" and described["encoder"]["layers"] == 12 and described["decoder"]["layers"] == 6
    for flops in described["flops"].values():
        assert sum(number for name, number in flops.items() if name != "beam") == 2 * flops["total"]


def test_facts_of_models_without_prefix_encoder_or_ctc(describe):
    crossing, bare = describe(row("row1_")), describe(row("row3_"))
    assert crossing["masks"]["speech"] is None and bare["masks"]["speech"] == "full"
    assert crossing["ctc"] is crossing["compression"] is bare["ctc"] is None
    assert bare["encoder"]["layers"] == bare["flops"]["training_step"]["encoder_layers"] == 0
    assert crossing["encoder"]["positions"] == "sinusoidal"


@pytest.mark.parametrize(
    ("flags", "options", "rate", "states"),
    [
        ("--ctc-compression fixed --ctc-compression-stride 7", [], 7, 36),
        ("--ctc-compression weighted", ["--compression-rate", "2.5"], 2.5, 100),
        ("--ctc-compression weighted", [], 3, 84),
        ("--ctc-compression merge_blanks", [], 6, 42),
        ("--ctc-compression drop_blank_states --ctc-compression-min-share 0.5", [], 2, 125),
        ("--ctc-compression avg --ctc-compression-max-length 50", [], 3, 50),
        ("--ctc-compression avg --ctc-compression-max-length 90", [], 3, 84),
    ],
)
def test_compression_shortens_the_250_states_of_ten_seconds(flags, options, rate, states, write, describe):
    described = describe(write(f"{SMALL} {flags}"), *options)
    assert described["compression"]["rate"] == rate and described["utterance"]["compressed_states"] == states
    assert described["compression"]["rate_is_assumed"] == (not options and "fixed" not in flags)


def test_tied_embeddings_count_once(write, describe):
    apart, tied = (describe(write(f"{SMALL} {flag}"))["parameters"] for flag in ("", "--share-decoder-input-output-embed"))
    assert tied["output_projection"] == 0 and tied["input_embedding"] == apart["input_embedding"] == 32 * 40
    assert tied["total"] == apart["total"] - 32 * 40 == sum(tied.values()) - tied["total"]


@pytest.mark.parametrize(
    "text",
    [
        "# hello\nSIZE=small\nMODEL_ARGS=(\n" + "".join(f"  '{word}' # a comment\n" for word in SMALL.split()) + ")",
        f"MODEL_ARGS=(--criterion label_smoothed_cross_entropy --label-smoothing 0.2 --ctc-weight 0.3 {SMALL})",
        f"MODEL_ARGS=({SMALL} --arch dfp_transformer)\nMODEL_ARGS+=(--arch xattn_transformer)",
    ],
)
def test_model_files_hold_what_bash_can_source(text, write, describe):
    assert describe(write(text=text))["parameters"] == describe(write(SMALL))["parameters"]


@pytest.mark.parametrize(("prefix", "flags"), [("row5.1_", []), ("row1_", []), ("row4.1_", ["--match", "flops"])])
def test_the_table_has_the_numbers_of_the_json(prefix, flags, describe, capsys):
    described = describe(row(prefix), *flags)
    assert cli.main(["describe", str(row(prefix)), *flags, "--vocab-size", "40", "--transcript-vocab-size", "30"]) == 0
    printed = capsys.readouterr().out
    counts = [*described["parameters"].values(), *(proposal["parameters"] for proposal in described.get("match", {}).get("proposals", []))]
    operations = [number for numbers in described["flops"].values() for name, number in numbers.items() if name != "beam"]
    for number in [f"{count:,}" for count in counts if count] + [f"{count / 1e9:,.2f}" for count in operations if count]:
        assert re.search(rf"(?<![\d,.]){re.escape(number)}(?![\d,.])", printed), number
    assert ("assumed" in printed) == (described["compression"] is not None)
    assert max(map(len, printed.splitlines())) <= 150
