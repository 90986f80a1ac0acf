"""Data configs mean to us what they mean to fairseq."""

import pytest
import yaml

from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.data.data_config import DataConfig


def load(folder, **settings):
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return DataConfig.load(folder / "config.yaml")


def test_an_empty_config_has_fairseqs_defaults(tmp_path):
    config = load(tmp_path)
    assert (config.vocab_filename, config.transcript_vocab_filename) == ("dict.txt", None)
    assert (config.pre_tokenizer, config.bpe_tokenizer, config.transcript_bpe_tokenizer) == (None, None, None)
    assert (config.input_feat_per_channel, config.prepend_tgt_lang_tag, config.shuffle) == (80, False, False)
    assert (config.tgt_lang, config.sampling_alpha, config.transcribe_probability) == (None, 1.0, 0.0)
    assert config.audio_root == tmp_path
    assert config.transforms(is_train=True) == (False, None)


@pytest.mark.parametrize("key", ["transforms", "feature_transforms"])
@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("split", ["dev", "special"])
def test_the_same_list_of_transforms_is_chosen_as_by_fairseq(tmp_path, key, is_train, split):
    from fairseq.data.audio.data_cfg import S2TDataConfig

    lists = {"*": ["utterance_cmvn"], "_train": ["utterance_cmvn", "specaugment"], "_eval": [], "special": ["specaugment"]}
    config = load(tmp_path, **{key: lists}, specaugment={"freq_mask_N": 1, "freq_mask_F": 27})
    names = S2TDataConfig(tmp_path / "config.yaml").get_feature_transforms(split, is_train)["feature_transforms"]
    augment = SpecAugment(freq_mask_N=1, freq_mask_F=27) if "specaugment" in names else None
    assert config.transforms(is_train, split) == ("utterance_cmvn" in names, augment)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sampling_alpha": 0}, "config.yaml: sampling_alpha must be a number above 0 and at most 1, but is 0; correct it"),
        ({"sampling_alpha": 1.5}, "sampling_alpha must be a number above 0 and at most 1, but is 1.5"),
        ({"sampling_alpha": "half"}, "sampling_alpha must be a number above 0 and at most 1, but is 'half'"),
        ({"transcribe_probability": -0.1}, "transcribe_probability must be a number between 0 and 1, but is -0.1"),
        ({"transcribe_probability": True, "prepend_tgt_lang_tag": True}, "transcribe_probability must be a number between 0 and 1, but is True"),
        ({"transcribe_probability": 0.5}, "transcribe_probability needs prepend_tgt_lang_tag: true"),
        ({"tgt_lang": False}, "tgt_lang must be the code of a language, in quotes, but is False"),
        (
            {"transforms": {"*": ["global_cmvn"]}},
            "config.yaml: transform 'global_cmvn' is unknown; choose from utterance_cmvn, specaugment",
        ),
        ({"transforms": {"_train": ["specaugment"]}, "specaugment": {"time_warp_W": 5}}, "time_warp_W must be 0"),
        ({"transforms": {"_train": ["specaugment"]}, "specaugment": {"freq_masks": 5}}, "'freq_masks'"),
        ({"use_audio_input": True}, "config.yaml: use_audio_input is not supported, but is True; remove it"),
        ({"utterance_cmvn": {"norm_vars": False}}, "utterance_cmvn must normalise means and variances"),
    ],
)
def test_what_is_not_implemented_is_an_error(tmp_path, settings, message):
    with pytest.raises(ValueError) as error:
        load(tmp_path, **settings)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_broken_files_are_errors_with_their_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.yaml: no such data config"):
        DataConfig.load(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("a: [1\nb: 2")
    with pytest.raises(ValueError, match="config.yaml: not readable as YAML"):
        DataConfig.load(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("- a")
    with pytest.raises(ValueError, match="config.yaml: must be a mapping"):
        DataConfig.load(tmp_path / "config.yaml")
