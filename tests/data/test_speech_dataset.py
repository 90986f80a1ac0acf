"""The data set: every row in a batch, batches as the model wants them, and SpecAugment the same whoever reads the rows when."""

import numpy as np
import pytest
import torch
from tiny_model import FEATURE_DIM, batch_of, make_data, task

from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.speech_dataset import SpeechRows, SpeechTextDataset
from speechllm_plugin.data.speech_texts import SpeechTexts
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

LENGTHS = [13, 57, 1, 40, 13]
AUGMENT = SpecAugment(freq_mask_N=2, freq_mask_F=4, time_mask_N=2, time_mask_T=20, time_mask_p=1.0)
PAD, EOS = 1, 2


def augmented(lengths=LENGTHS, **options):
    data = make_data(lengths)
    data.augment, data.shuffle = AUGMENT, True
    for name, value in options.items():
        setattr(data, name, value)
    return data


def without_texts(num_frames, names=None):
    """A data set of rows with as many frames; their speech is nowhere."""
    rows = [Utterance(f"u{row}", names[row] if names else "", int(length), "") for row, length in enumerate(num_frames)]
    return SpeechTextDataset(SpeechRows(rows), None, task().target_dictionary, SpeechTexts())


def read_all(data, rows=None):
    return {row: data[row].features for row in (rows if rows is not None else range(len(data)))}


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize(("max_tokens", "max_sentences"), [(60, None), (None, 3), (200, 4), (None, None)])
def test_no_number_of_rows_loses_one(multiple, max_tokens, max_sentences):
    for number in range(1, 28):
        num_frames = np.random.randint(1, 60, number)
        data = without_texts(num_frames)
        batches = data.batch_by_size(data.ordered_indices(), max_tokens, max_sentences, multiple)
        assert sorted(row for batch in batches for row in batch) == list(range(number))
        for batch in batches:
            assert len(batch) <= (max_sentences or number)
            assert len(batch) * num_frames[batch].max() <= (max_tokens or np.inf)


def test_a_row_larger_than_a_batch_is_named():
    data = without_texts([5, 70, 6], ["a.wav", "b.wav", "c.wav"])
    with pytest.raises(ValueError, match=r"row 1 \(b.wav\) has 70 frames.*--max-tokens 60.*raise --max-tokens") as error:
        data.batch_by_size(data.ordered_indices(), max_tokens=60)
    assert "\n" not in str(error.value)


def test_rows_beyond_the_positions_are_told_apart():
    data = make_data(LENGTHS)
    kept, ignored = data.filter_indices_by_size(data.ordered_indices(), (40, 1024))
    assert sorted(kept) == [0, 2, 3, 4] and ignored == [1]
    shortest = min(data.num_targets)
    kept, ignored = data.filter_indices_by_size(data.ordered_indices(), (6000, shortest))
    assert sorted(kept) == [row for row in range(5) if data.num_targets[row] == shortest] and len(kept) + len(ignored) == 5


def test_order_is_longest_first_and_only_ties_change():
    data, orders = augmented([13] * 6 + [57, 1]), []
    for seed in range(5):
        np.random.seed(seed)  # as fairseq does, by its seed and the epoch
        orders.append(data.ordered_indices().tolist())
        assert (orders[-1][0], orders[-1][-1]) == (6, 7)
    assert len({tuple(order) for order in orders}) > 1
    data.shuffle = False
    assert data.ordered_indices().tolist() == [6, 0, 1, 2, 3, 4, 5, 7]


def test_noise_on_lengths_parts_equal_utterances():
    """Twins: two utterances of each length, as where a corpus and its distilled copy are one."""
    num_frames = np.tile(np.random.default_rng(1).integers(20, 3000, 2000), 2)
    data = without_texts(num_frames)
    data.shuffle, shared, padded_frames, orders = True, {}, {}, {}
    for noise in (0.0, 0.02, 0.02):
        data.length_noise = noise
        np.random.seed(7)  # as fairseq does, by its seed and the epoch
        order = data.ordered_indices()
        batches = data.batch_by_size(order, max_tokens=40_000)
        assert sorted(order) == list(range(4000))
        assert orders.setdefault(noise, order).tolist() == order.tolist()
        place = {row: number for number, batch in enumerate(batches) for row in batch.tolist()}
        shared[noise] = np.mean([place[row] == place[row + 2000] for row in range(2000)])
        padded_frames[noise] = sum(len(batch) * num_frames[batch].max() for batch in batches)
    assert shared[0.0] > 0.9 and shared[0.02] < 0.5
    assert padded_frames[0.02] < 1.02 * padded_frames[0.0]
    data.shuffle = False
    assert (np.diff(num_frames[data.ordered_indices()]) <= 0).all()


def test_batches_hold_the_rows_and_padding():
    data, rows = make_data(LENGTHS), [2, 0, 1]
    batch, order = batch_of(data, rows), [1, 0, 2]  # longest first
    assert batch["id"].tolist() == order
    assert (batch["nsentences"], batch["nframes"]) == (3, 57 + 13 + 1)
    assert batch["ntokens"] == sum(len(data.texts.targets[row]) for row in rows) == int((batch["target"] != PAD).sum())
    features, lengths, previous = (batch["net_input"][key] for key in ("src_tokens", "src_lengths", "prev_output_tokens"))
    assert features.shape == (3, 57, FEATURE_DIM) and features.dtype == torch.float32 and lengths.tolist() == [57, 13, 1]
    for place, row in enumerate(order):
        assert features[place, : LENGTHS[row]].equal(torch.from_numpy(data.read(data.sources[row], None)))
        assert (features[place, LENGTHS[row] :] == 0).all()
        target, transcript = data.texts.targets[row].tolist(), data.texts.transcripts[row].tolist()
        width = batch["target"].size(1) - len(target)
        assert target[-1] == EOS and batch["target"][place].tolist() == target + [PAD] * width
        assert previous[place].tolist() == [EOS, *target[:-1]] + [PAD] * width
        assert batch["transcript"][place].tolist() == transcript + [PAD] * (batch["transcript"].size(1) - len(transcript))
        assert (batch["target_lengths"][place], batch["transcript_lengths"][place]) == (len(target), len(transcript))
    assert data.collater([]) == {}


def test_batches_for_inference_need_no_text():
    data = make_data(LENGTHS)
    data.texts = SpeechTexts()
    batch = batch_of(data)
    assert batch["target"] is None and "transcript" not in batch and "prev_output_tokens" not in batch["net_input"]


def test_another_number_of_frames_than_the_manifests_is_an_error():
    data = make_data([13])
    data.num_frames[0], data.sources = 14, ["speech.wav"]
    data.read = lambda source, root: np.zeros((13, FEATURE_DIM), np.float32)
    with pytest.raises(ValueError, match=r"row 0 \(speech.wav\): the manifest says 14 frames .* but there are 13: prepare the data again"):
        data[0]


@pytest.mark.parametrize("use_cmvn", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_an_error_with_the_row(use_cmvn, value):
    data = make_data([13, 57])
    data.sources, data.use_cmvn = ["0", "fbank80.zip:10:20"], use_cmvn
    features = np.random.default_rng(0).standard_normal((57, FEATURE_DIM)).astype(np.float32)
    features[40, 3] = value
    data.read = lambda source, root: features
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=r"row 1 \(fbank80.zip:10:20\): the features have NaN or infinite"):
        data[1]


def test_normalisation_is_that_of_each_utterance():
    data = make_data([57, 40])
    data.use_cmvn = True
    for features in read_all(data).values():
        torch.testing.assert_close(features.mean(0), torch.zeros(FEATURE_DIM), atol=1e-5, rtol=0)
        torch.testing.assert_close(features.std(0, unbiased=False), torch.ones(FEATURE_DIM), atol=1e-4, rtol=0)


def test_masks_depend_on_seed_epoch_and_row_only():
    data = augmented(seed=3)
    first = read_all(data)
    np.random.seed(99)
    assert all(first[row].equal(features) for row, features in read_all(data, [4, 2, 0, 1, 3, 3]).items())
    masked = [bool((first[row] != read_all(make_data(LENGTHS))[row]).any()) for row in (0, 1, 3, 4)]
    assert all(masked)
    for change in ({"seed": 4}, {"epoch": 2}):
        assert not read_all(augmented(**{"seed": 3, **change}))[1].equal(first[1])
    data.set_epoch(2)
    assert not data[1].features.equal(first[1])
    data.set_epoch(1)
    assert data[1].features.equal(first[1])


def test_equal_utterances_get_masks_of_their_own():
    data = augmented([57, 57])
    data.sources = [data.sources[0]] * 2
    assert not data[0].features.equal(data[1].features)


def test_workers_read_what_the_main_process_reads():
    data = augmented()
    batches = [[1], [3, 0], [4, 2]]

    def features_by_epoch(num_workers):
        loaded = []
        for epoch in (1, 2):
            data.set_epoch(epoch)
            loader = torch.utils.data.DataLoader(data, batch_sampler=batches, collate_fn=data.collater, num_workers=num_workers)
            loaded += [batch["net_input"]["src_tokens"] for batch in loader]
        return loaded

    alone, together = features_by_epoch(0), features_by_epoch(2)
    assert len(alone) == 6 and all(ours.equal(theirs) for ours, theirs in zip(alone, together))
    assert not alone[0].equal(alone[3])


def test_only_training_augments(tmp_path):
    (tmp_path / "dict.txt").write_text("one 1\ntwo 1\n")
    (tmp_path / "config.yaml").write_text(
        "vocab_filename: dict.txt\ninput_feat_per_channel: 8\ntransforms: {'*': [utterance_cmvn, specaugment]}\n"
        "specaugment: {freq_mask_N: 2, freq_mask_F: 4, time_mask_N: 2, time_mask_T: 20, time_mask_p: 1.0}\n"
    )
    rows = ["id\taudio\tn_frames\ttgt_text"]
    for number, length in enumerate(LENGTHS):
        np.save(tmp_path / f"{number}.npy", np.random.randn(length, FEATURE_DIM).astype(np.float32))
        rows.append(f"u{number}\t{number}.npy\t{length}\tone two")
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    own_task = SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(tmp_path), seed=1))
    clean = []
    for split in ("train", "dev"):  # as fairseq-generate loads them, whatever their name
        own_task.load_dataset(split)
        assert not own_task.dataset(split).shuffle
        clean.append(read_all(own_task.dataset(split)))
    own_task.load_dataset("train", combine=True)  # as fairseq-train does
    training = own_task.dataset("train")
    assert training.shuffle
    assert all(clean[0][row].equal(clean[1][row]) for row in range(len(LENGTHS)))
    assert not training[1].features.equal(clean[0][1])
    assert own_task.transcript_dictionary is None and training[1].target.tolist() == [4, 5, EOS]
