"""The data configuration that prepare writes means to us what it means to fairseq."""

from pathlib import Path

import pytest

from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.preparation import config_file


@pytest.mark.parametrize("movable", [True, False])
def test_both_read_what_we_write(tmp_path, movable):
    from fairseq.data.audio.data_cfg import S2TDataConfig

    (tmp_path / "spm_target.model").touch()
    root = tmp_path if movable else Path("/corpora/mustc")
    config_file.write(tmp_path / "config.yaml", audio_root=root, target="spm_target", transcript="spm_transcript", movable=movable, specaugment={})
    ours, theirs = DataConfig.load(tmp_path / "config.yaml"), S2TDataConfig(tmp_path / "config.yaml")
    assert ours.audio_root.samefile(root) if movable else ours.audio_root == root
    assert theirs.audio_root == str(root)
    assert ours.vocab_filename == theirs.vocab_filename == "spm_target.txt"
    assert ours.bpe_tokenizer == theirs.bpe_tokenizer == {"bpe": "sentencepiece", "sentencepiece_model": str(tmp_path / "spm_target.model")}
    assert ours.transforms(is_train=True) == (True, SpecAugment(**config_file.PAPER_SPECAUGMENT))
    assert ours.transforms(is_train=False) == (True, None)


def test_a_moved_folder_is_read_where_it_is(tmp_path):
    (tmp_path / "old").mkdir()
    config_file.write(
        tmp_path / "old/config.yaml", audio_root=tmp_path / "old", target="t", transcript="s", movable=True, specaugment={"time_mask_p": 0.2}
    )
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "new/t.model").touch()
    config = DataConfig.load(tmp_path / "new/config.yaml")
    assert config.audio_root.samefile(tmp_path / "new")
    assert config.bpe_tokenizer["sentencepiece_model"] == str(tmp_path / "new/t.model")


def test_a_folder_without_transcripts_names_no_vocabulary_for_them(tmp_path):
    config_file.write(
        tmp_path / "config.yaml", audio_root=tmp_path, target="t", transcript=None, movable=True, specaugment={},
        prepend_tgt_lang_tag=True, sampling_alpha=0.5, transcribe_probability=0.25, tgt_lang="no",
    )  # fmt: skip
    config = DataConfig.load(tmp_path / "config.yaml")
    assert (config.vocab_filename, config.transcript_vocab_filename, config.transcript_bpe_tokenizer) == ("t.txt", None, None)
    assert (config.prepend_tgt_lang_tag, config.sampling_alpha, config.transcribe_probability, config.tgt_lang) == (True, 0.5, 0.25, "no")
