"""`speechllm bench train`: its numbers add up, fairseq's model is of the same size, its errors name the flag."""

import gzip
import json
import shlex

import numpy as np
import pytest
import torch
from commands import ROOT

from speechllm_plugin.benchmarking import largest_batch, noise_corpus, training_benchmark
from speechllm_plugin.benchmarking.matrix_rate import matrix_rate
from speechllm_plugin.benchmarking.random_model import RandomModel
from speechllm_plugin.benchmarking.training_benchmark import Candidate, Training
from speechllm_plugin.benchmarking.training_measurement import GIBIBYTE, TrainingMeasurement
from speechllm_plugin.benchmarking.update_profile import KERNELS_SHOWN, group_of
from speechllm_plugin.commands import cli
from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.describing.setting import Setting
from speechllm_plugin.host import stock_training
from speechllm_plugin.models.speech_to_text import SpeechToTextModel

LAYERS = "--encoder-layers 2 --ctc-layer 1 --decoder-layers 1"
SMALL = (
    f"{LAYERS} --encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-ffn-embed-dim 16 --decoder-ffn-embed-dim 16 --encoder-attention-heads 2 "
    "--decoder-attention-heads 2 --conv-channels 16 --depthwise-conv-kernel-size 3"
)
SIZES = ["--vocab-size", "50", "--transcript-vocab-size", "30", "--model-flags", SMALL, "--device", "cpu"]
MODELS = ROOT / "recipes" / "models"


def rows(*names):
    return [next(MODELS.glob(f"{name}_*.sh")) for name in names]


def train(*arguments):
    return cli.main(["bench", "train", *map(str, arguments), *SIZES])


@pytest.mark.end_to_end
def test_updates_are_measured_through_the_trainer_and_alone_beside_fairseqs_model(tmp_path, capsys):
    result = tmp_path / "bench.json"
    work = ["--frames", 900, "--update-freq", 2, "--seconds", 1, "--updates", 3, "--warm-up", 2, "--rounds", 2, "--workers", 0]
    assert train(*rows("row5.1"), *work, "--against", "s2t_conformer", "--json", result) == 0
    printed, content = capsys.readouterr(), json.loads(result.read_text(encoding="utf-8"))
    assert "Warning" not in printed.err
    measured = content["measurements"]
    assert [(each["trained"], each["round"]) for each in measured] == [(name, number) for number in (1, 2) for name in ("plugin", "s2t_conformer")]
    for each in measured:
        assert each["error"] is None and each["updates"] == 3
        assert (
            each["frames"] == 800 and each["sentences"] == 8 and each["padding_share"] == 0 and each["batch_shapes"] == 1
        )  # 2 x 4 utterances: 450 frames hold no fifth
        assert each["frames_per_second"] * each["milliseconds"] == pytest.approx(1000 * 900)
        assert each["updates_per_second"] * each["frames"] == pytest.approx(each["frames_per_second"])
        assert each["trainer_share"] == pytest.approx(each["milliseconds"] / each["model_milliseconds"] - 1)
        assert min(each["forward_milliseconds"], each["optimizer_milliseconds"]) > 0 and 0 <= each["wait_milliseconds"] < each["milliseconds"]
        assert each["model"] in printed.out
        if each["trained"] == "plugin":
            assert each["matrix_share"] == pytest.approx(each["teraflops"] / content["matrix_teraflops"])
    assert [each["compression_rate"] for each in measured[:2]] == [3.0, None]
    (compared,) = content["comparisons"]
    assert compared["time_ratios"] == [theirs["milliseconds"] / ours["milliseconds"] for ours, theirs in zip(measured[::2], measured[1::2])]
    assert f"{compared['time_ratio']:.2f} times as long" in printed.out
    assert measured[0]["parameters"] == pytest.approx(measured[1]["parameters"], rel=0.1)  # fairseq's has no CTC head, and one more projection


@pytest.mark.end_to_end
def test_updates_are_profiled_and_drawn(tmp_path):
    result, drawn, folder = tmp_path / "bench.json", tmp_path / "bench.svg", tmp_path / "profiles"
    work = ["--frames", 300, "--seconds", 1, "--updates", 1, "--warm-up", 1, "--cpu-time"]
    assert train(*rows("row5"), *work, "--json", result, "--plot", drawn, "--profile", folder) == 0
    (measured,) = json.loads(result.read_text(encoding="utf-8"))["measurements"]
    groups = measured["profile"]["groups"]
    assert measured["profile"]["busy_share"] == pytest.approx(measured["profile"]["kernel_milliseconds"] * measured["updates_per_second"] / 1000)
    assert {"products", "convolution", "norm", "dropout", "optimizer"} < set(groups)
    assert sum(group["milliseconds"] for group in groups.values()) == pytest.approx(measured["profile"]["kernel_milliseconds"])
    name = f"{measured['model']}.plugin"
    assert (folder / f"{name}.txt").read_text(encoding="utf-8").count("aten::") > KERNELS_SHOWN / 2
    assert "aten::addmm" in gzip.decompress((folder / f"{name}.trace.json.gz").read_bytes()).decode()
    assert f"{measured['model']}, plugin" in drawn.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--updates", 0], "--updates must be at least 1"),
        (["--workers", -1], "--workers must not be negative"),
        (["--seconds", 9, "--max-tokens", 800], "--seconds 9 does not fit a batch of 800 frames"),
        (["--against", "s2t_conformer"], "needs a Conformer, but --encoder is transformer"),
        (["--json", ROOT], "--json must be a file"),
        (["--plot", "bars.txt"], "--plot must end with one of .png"),
        (["--find-max-tokens"], "--find-max-tokens needs a GPU"),
        (["--cpu-time", "--workers", 1], "--cpu-time counts this process alone: --workers must be 0"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(arguments, message, capsys):
    assert train(*rows("row1"), *arguments) == 1
    printed = capsys.readouterr()
    assert message in printed.err and len(printed.err.splitlines()) == 1 and not printed.out


def test_noise_has_the_corpus_lengths_and_shares_recordings(tmp_path):
    noise_corpus.write(tmp_path, noise_corpus.lengths_in_frames(250, longest=1500), 40, 30, num_utterances=400)
    utterances = manifest.read(tmp_path / "train.tsv")
    frames = np.array([row.n_frames for row in utterances])
    assert len(frames) == 400 and frames.max() == 1500 and frames.mean() == pytest.approx(100 * noise_corpus.MEAN_SECONDS, rel=0.1)
    assert utterances[0].audio == utterances[250].audio and len({row.audio for row in utterances}) == 250
    assert utterances[0].tgt_text != utterances[250].tgt_text
    root = DataConfig.load(tmp_path / "config.yaml").audio_root
    assert len(features.read(utterances[250].audio, root)) == frames[250]


def test_extreme_lengths_are_the_corpus_longest_and_shortest():
    lengths = np.sort(noise_corpus.extreme_lengths(20_000, longest=2000))
    assert 3 * 20_000 <= lengths.sum() < 3 * 22_000
    assert lengths[-10:].min() == 2000 and lengths[:400].max() < 60


@pytest.mark.parametrize("fixed, each", [(0, 200_000), (2 * GIBIBYTE, 900_000), (GIBIBYTE, 90_000), (GIBIBYTE, 9_000_000)])
def test_the_largest_batch_is_found_in_few_trials(fixed, each):
    """Of a memory that grows in proportion above what weights take, or a little faster, and that trials may exceed."""
    trials, limit, smallest, most = [], 40 * GIBIBYTE, 6000, 320_000

    def peak_of(frames):
        trials.append(frames)
        peak = fixed + int(each * frames**1.01)
        return None if peak > 1.1 * limit else peak

    found, fitting = largest_batch.largest(peak_of, limit, smallest, most), [n for n in range(1, most + 1) if fixed + int(each * n**1.01) <= limit]
    best = fitting[-1]
    assert (found is None) == (best < smallest)
    assert found is None or 0.94 * best <= found <= best
    assert len(trials) <= 8


@pytest.mark.end_to_end
def test_trainings_that_run_out_of_memory_lead_to_the_largest_batches_that_fit(tmp_path, monkeypatch, capsys):
    """Of a GPU that holds batches of 1,700 frames: a larger one ends as fairseq's training does, with an error that names the batch."""
    bytes_of_frame, forward, run, tried = 1000, SpeechToTextModel.forward, stock_training.run, []

    def limited_forward(self, src_tokens, *arguments, **options):
        tried.append(src_tokens.shape[:2].numel())
        if tried[-1] > 1700:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 24.00 GiB.")
        return forward(self, src_tokens, *arguments, **options)

    def run_noting(flags, around, note_peak):
        return run(flags, lambda *update: (around(*update), note_peak(tried[-1] * bytes_of_frame)), note_peak)

    monkeypatch.setattr(SpeechToTextModel, "forward", limited_forward)
    monkeypatch.setattr(stock_training, "run", run_noting)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, int(1700 / 0.9 * bytes_of_frame)))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: None)
    monkeypatch.setattr(largest_batch, "SMALLEST", 1000)
    monkeypatch.setattr(largest_batch, "ROUNDED_TO", 100)
    model = RandomModel.read(*rows("row5.1"), shlex.split(SMALL), Setting(50, 30, 6.4, 1, 1, None))
    training = Training(4000, 4000, 1, 1, 1, torch.device("cpu"), ["--num-workers", "0"])
    found = largest_batch.find(Candidate("row", "plugin", model, ["--optimizer", "speechllm_adam", *model.flags]), training, (50, 30))
    assert (found.max_tokens, found.update_freq) == (1334, 3) and 1500 <= found.peak_bytes / bytes_of_frame <= 1700
    printed = capsys.readouterr().err
    assert "row: batches of 4,000 frames need too much" in printed and "row: batches of 1,000 frames need 0.0 GiB" in printed


def test_a_ratio_is_the_median_of_rounds_and_none_without_memory():
    def measured(trained, number, milliseconds, error=None):
        return TrainingMeasurement("a", trained, number, error=error, milliseconds=milliseconds, model_milliseconds=milliseconds)

    ours, theirs = [[measured(name, number, ms) for number, ms in enumerate(times)] for name, times in (("plugin", (1, 2, 4)), ("peer", (3, 2, 8)))]
    (compared,) = training_benchmark.comparisons([*ours, *theirs])
    assert compared["time_ratios"] == [3, 1, 2] and compared["time_ratio"] == compared["model_ratio"] == 2
    (compared,) = training_benchmark.comparisons([*ours, *theirs[:2], measured("peer", 2, None, "out of memory")])
    assert compared["time_ratio"] is None and "out of memory" in training_benchmark.comparison_line(compared)


@pytest.mark.parametrize(
    "name, group",
    [
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x128x64", "products"),
        ("nvjet_tst_128x256_64x4_2x1_v_bz_coopA_NTN", "products"),
        ("query_gradient_kernel", "attention"),
        ("_convolve", "convolution"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>", "elementwise"),
        ("void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>", "reduction"),
        ("Memcpy DtoD (Device -> Device)", "copy, fill"),
        ("void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimizer"),
        ("aten::bernoulli_", "dropout"),
        ("aten::_ctc_loss_backward", "CTC"),
        ("autograd::engine::evaluate_function", "other"),
    ],
)
def test_kernels_are_told_apart(name, group):
    assert group_of(name) == group


def test_the_rate_of_matrix_products_is_that_of_a_machine():
    assert 1e8 < matrix_rate(torch.device("cpu"), torch.float32) < 1e14
