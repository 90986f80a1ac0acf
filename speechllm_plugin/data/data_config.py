"""The data configuration: fairseq's speech-to-text config.yaml, with a second vocabulary for the transcripts."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechllm_plugin.data import config_types
from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.data.features import NUM_BINS
from speechllm_plugin.files import yaml_file
from speechllm_plugin.text.one_line import excerpt

# fairseq keys that change what a row means and are not implemented here.
UNSUPPORTED = (
    "use_audio_input",
    "prepend_bos_and_append_tgt_lang_tag",
    "waveform_transforms",
    "dataset_transforms",
    "speaker_set_filename",
)


@dataclass(frozen=True)
class DataConfig:
    """The settings of one config.yaml; each key's meaning and default are fairseq's.

    audio_root: folder that relative `audio` values of the manifests start from; the folder of config.yaml if it names none.
    recording_root: folder that relative `recording` values of the manifests start from; None if it names none.
    transcript_vocab_filename, transcript_bpe_tokenizer: as vocab_filename and bpe_tokenizer, for src_text.
    sample_bits: to which sound is rounded before features are made of it, as the sound of the training was; None leaves it as it is.
        Stored features do not change.
    tgt_lang: language of the tag where no manifest names one.
    sampling_alpha: training rows of a language pair are drawn in proportion to the pair's rows to this power.
    transcribe_probability: how often the target of a training row is its transcript, not its translation.
    sample_kd_texts: training draws one of a teacher's texts (kd_text, kd_text_2 ...) per utterance and epoch, instead of the first.
    """

    path: Path
    values: dict[str, Any]

    @classmethod
    def load(cls, path) -> "DataConfig":
        """The settings in a file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not YAML, a value is of another type, or it has a setting that this package does not implement.
        """
        path = Path(path)
        absent = "no such data config; make it with speechllm prepare, or give the folder and name (--config-yaml) of one"
        values = yaml_file.read(path, absent=absent, remedy="correct it")
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise ValueError(f"{path}: must be a mapping of settings (key: value), but is {excerpt(values)}")
        values = {key: value for key, value in values.items() if value is not None}
        config_types.check(path, values, UNSUPPORTED)
        for key in UNSUPPORTED:
            if values.get(key):
                raise ValueError(f"{path}: {key} is not supported, but is {excerpt(values[key])}; remove it")
        config = cls(path, values)
        config.transforms(is_train=True)
        config.transforms(is_train=False)
        config._check_languages()
        return config

    @property
    def vocab_filename(self) -> str:
        return self.values.get("vocab_filename", "dict.txt")

    @property
    def transcript_vocab_filename(self) -> str | None:
        return self.values.get("transcript_vocab_filename")

    @property
    def pre_tokenizer(self) -> dict[str, Any] | None:
        return self._tokenizer("pre_tokenizer")

    @property
    def bpe_tokenizer(self) -> dict[str, Any] | None:
        return self._tokenizer("bpe_tokenizer")

    @property
    def transcript_bpe_tokenizer(self) -> dict[str, Any] | None:
        return self._tokenizer("transcript_bpe_tokenizer")

    @property
    def audio_root(self) -> Path:
        # fairseq knows audio_root only, from the working directory on; the other key survives moving the folder.
        if "relative_audio_root" in self.values:
            return self.path.parent / self.values["relative_audio_root"]
        return Path(self._located(self.values.get("audio_root") or self.path.parent))

    @property
    def recording_root(self) -> Path | None:
        return Path(self._located(self.values["recording_root"])) if self.values.get("recording_root") else None

    @property
    def input_feat_per_channel(self) -> int:
        return self.values.get("input_feat_per_channel", NUM_BINS)

    @property
    def sample_bits(self) -> int | None:
        return self.values.get("sample_bits")

    @property
    def prepend_tgt_lang_tag(self) -> bool:
        return self.values.get("prepend_tgt_lang_tag", False)

    @property
    def tgt_lang(self) -> str | None:
        return self.values.get("tgt_lang")

    @property
    def sampling_alpha(self) -> float:
        return self.values.get("sampling_alpha", 1.0)

    @property
    def transcribe_probability(self) -> float:
        return self.values.get("transcribe_probability", 0.0)

    @property
    def sample_kd_texts(self) -> bool:
        return self.values.get("sample_kd_texts", False)

    @property
    def shuffle(self) -> bool:
        return self.values.get("shuffle", False)

    def transforms(self, is_train: bool, split: str = "") -> tuple[bool, SpecAugment | None]:
        """Whether to apply utterance CMVN, and SpecAugment or None.

        The list of transforms is the one named as the split, else `_train` or `_eval`, else `*`.

        Raises:
            ValueError: a transform is unknown, or its settings are.
        """
        names = []
        for key in ("transforms", "feature_transforms"):
            lists = self.values.get(key) or {}
            names += next((lists[name] for name in (split, "_train" if is_train else "_eval", "*") if lists.get(name) is not None), [])
        for name in names:
            if name not in ("utterance_cmvn", "specaugment"):
                raise ValueError(f"{self.path}: transform {name!r} is unknown; choose from utterance_cmvn, specaugment")
        cmvn = self.values.get("utterance_cmvn") or {}
        if not (cmvn.get("norm_means", True) and cmvn.get("norm_vars", True)):
            raise ValueError(f"{self.path}: utterance_cmvn must normalise means and variances, but is {cmvn}; remove the setting")
        return "utterance_cmvn" in names, self._specaugment() if "specaugment" in names else None

    def _check_languages(self):
        for key, value, rule, holds in (
            ("sampling_alpha", self.sampling_alpha, "above 0 and at most 1", lambda number: 0 < number <= 1),
            ("transcribe_probability", self.transcribe_probability, "between 0 and 1", lambda number: 0 <= number <= 1),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not holds(value):
                raise ValueError(f"{self.path}: {key} must be a number {rule}, but is {excerpt(value)}; correct it")
        if self.transcribe_probability and not self.prepend_tgt_lang_tag:
            raise ValueError(
                f"{self.path}: transcribe_probability needs prepend_tgt_lang_tag: true, as only the tag says whether to transcribe, "
                f"but is {self.transcribe_probability} without it; remove it, or prepare the data with --task joint"
            )
        if not isinstance(self.tgt_lang, str | None):  # YAML reads an unquoted no as False
            raise ValueError(f"{self.path}: tgt_lang must be the code of a language, in quotes, but is {self.tgt_lang!r}; correct it")

    def _specaugment(self):
        settings = self.values.get("specaugment") or {}
        try:
            return SpecAugment(**settings)
        except (TypeError, ValueError) as error:  # TypeError: a key that SpecAugment does not have
            raise ValueError(f"{self.path}: {error}; correct specaugment: {settings}") from error

    def _tokenizer(self, key):
        settings = self.values.get(key)
        if settings is None:
            return None
        return {name: self._tokenizer_file(value) if isinstance(value, str) else value for name, value in settings.items()}

    def _tokenizer_file(self, value):
        # Not fairseq's rule, which looks in the working directory first: another data folder there has files of the same names.
        beside = self.path.parent / value
        return beside.as_posix() if beside.is_file() else value

    def _located(self, value):
        # fairseq's rule: what exists from the working directory on stays; else what exists beside the config is meant.
        beside = self.path.parent / value
        return beside.as_posix() if not os.path.exists(value) and beside.exists() else value
