"""`speechllm describe --match`: what is proposed is what the flags build, and no neighbouring size is nearer."""

import json

import pytest

from speechllm_plugin.commands import cli

WIDTHS = "--encoder-embed-dim 32 --decoder-embed-dim 32 --encoder-attention-heads 4 --decoder-attention-heads 4 --conv-channels 16"
CROSSING = {
    "conformer": f"--arch xattn_transformer --encoder conformer --encoder-layers 4 --ctc-layer 3 --ctc-compression avg --decoder-layers 3 {WIDTHS}",
    "transformer": f"--arch xattn_transformer --encoder transformer --encoder-layers 6 --decoder-layers 4 --decoder-ffn-embed-dim 512 {WIDTHS}",
    "none": f"--arch xattn_transformer --encoder none --decoder-layers 5 {WIDTHS}",
}
STEPS = {"--decoder-ffn-embed-dim": 8, "--decoder-layers": 1, "--encoder-layers": 1}
LENGTHS = ["--vocab-size", "200", "--transcript-vocab-size", "100", "--seconds", "6", "--tokens", "35"]


@pytest.fixture
def describe(tmp_path, capsys):
    """speechllm describe of a file with these flags, as a dictionary."""

    def run(flags, *arguments):
        (tmp_path / "model.sh").write_text(f"MODEL_ARGS=({flags})\n", encoding="utf-8")
        assert cli.main(["describe", str(tmp_path / "model.sh"), *LENGTHS, *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def costs(described):
    return {"parameters": described["parameters"]["total"], "flops": described["flops"]["training_step"]["total"]}


@pytest.mark.parametrize(("encoder", "by"), [("conformer", "parameters"), ("conformer", "flops"), ("transformer", "flops"), ("none", "parameters")])
def test_proposals_are_what_their_flags_build_and_no_neighbour_is_nearer(encoder, by, describe):
    crossing = describe(CROSSING[encoder], "--match", by)
    match = crossing["match"]
    assert match["by"] == by and match["target"] == costs(crossing)[by]
    proposals = match["proposals"]
    assert len(proposals) == (2 if encoder == "none" else 3)
    distances = [abs(proposal["difference_percent"]) for proposal in proposals]
    assert distances == sorted(distances)
    for proposal in proposals:
        *others, flag, size = proposal["flags"]
        assert others == ["--arch", "dfp_transformer", *([] if encoder == "none" else ["--causal-prefix"])]
        built = costs(describe(f"{CROSSING[encoder]} {' '.join(proposal['flags'])}"))
        assert built == {name: proposal[name] for name in built}
        assert proposal["difference_percent"] == pytest.approx(100 * (built[by] / match["target"] - 1))

        smallest = {"--encoder-layers": 3 if encoder == "conformer" else 1, "--decoder-layers": 1, "--decoder-ffn-embed-dim": 8}[flag]
        assert proposal["is_smallest"] == (int(size) == smallest)
        for neighbour in (int(size) - STEPS[flag], int(size) + STEPS[flag]):
            if neighbour >= smallest:
                other = costs(describe(f"{CROSSING[encoder]} {' '.join([*others, flag, str(neighbour)])}"))
                assert abs(other[by] - match["target"]) >= abs(built[by] - match["target"])


def test_the_same_sizes_are_the_studys_difference(describe):
    crossing = describe(CROSSING["conformer"], "--match", "parameters")
    same = crossing["match"]["same_sizes"]
    assert same["flags"] == ["--arch", "dfp_transformer", "--causal-prefix"]
    assert costs(describe(f"{CROSSING['conformer']} {' '.join(same['flags'])}")) == {name: same[name] for name in ("parameters", "flops")}
    dim, layers = 32, 3
    cross_attention = 4 * dim * (dim + 1) + 2 * dim  # four projections and a LayerNorm
    assert same["parameters"] == crossing["match"]["target"] - layers * cross_attention


def test_a_prepending_model_is_what_is_proposed_not_what_is_matched(tmp_path, capsys):
    path = tmp_path / "dfp.sh"
    path.write_text(f"MODEL_ARGS=(--arch dfp_transformer {WIDTHS})\n", encoding="utf-8")
    assert cli.main(["describe", str(path), *LENGTHS, "--match", "flops"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--match" in error and "--arch is dfp_transformer" in error and "xattn_transformer" in error
