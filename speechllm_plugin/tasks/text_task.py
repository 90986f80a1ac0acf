"""The teacher's task: text translation over the manifests of the speech task, src_text to tgt_text, for fairseq's text models."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fairseq.tasks import register_task

from speechllm_plugin.data import manifest
from speechllm_plugin.data.row_dataset import temperature_repeats
from speechllm_plugin.data.text_dataset import TextDataset
from speechllm_plugin.tasks.manifest_task import ManifestTask, ManifestTaskConfig


@dataclass
class TextToTextTaskConfig(ManifestTaskConfig):
    """The flags of --task speechllm_text_to_text."""

    max_source_positions: int = field(default=1024, metadata={"help": "tokens of the longest source text"})


@register_task("speechllm_text_to_text", dataclass=TextToTextTaskConfig)
class SpeechLLMTextToTextTask(ManifestTask):
    """Translation of transcripts. The source vocabulary is that of the transcripts, the target vocabulary that of the speech task."""

    def __init__(self, cfg: TextToTextTaskConfig):
        super().__init__(cfg)
        if self.transcript is None:
            raise ValueError(
                f"{self.data_config_path}: speechllm_text_to_text reads src_text, but transcript_vocab_filename names no vocabulary for "
                "it: give data prepared with --task st"
            )

    @property
    def source_dictionary(self):
        return self.transcript.dictionary

    def load_dataset(self, split, combine=False, **unused):
        """Read the manifest(s) of a split; fairseq asks for `combine` when, and only when, it is going to train on it."""
        is_training, rows = combine, []
        for name in split.split(","):
            path = Path(self.cfg.data) / f"{name}.tsv"
            rows_of_split = manifest.read(path)
            if is_training:
                columns = {name: [getattr(row, name) for row in rows_of_split] for name in ("id", "tgt_text", "src_text")}
                self.check_training_texts(path, columns, needs_transcript=True)
            rows += rows_of_split
        repeats = None
        if is_training and self.data_config.sampling_alpha != 1:
            repeats = temperature_repeats([f"{row.src_lang}-{row.tgt_lang}" for row in rows], self.data_config.sampling_alpha)
        self.datasets[split] = dataset = self.text_dataset(rows, repeats=repeats, shuffle=is_training, length_noise=self.cfg.length_noise)
        if is_training:
            self.check_known(path, "src_text", self.transcript, dataset.sources)
            self.check_known(path, "tgt_text", self.target, dataset.targets)

    def text_dataset(self, rows: Sequence[manifest.Utterance], **options) -> TextDataset:
        """Rows of a manifest as this task's data set; options are TextDataset's."""
        return TextDataset(
            [row.id for row in rows],
            [self.encode_source(row.src_text) for row in rows],
            [self.encode_target(row.id, row.tgt_text, row.tgt_lang) for row in rows],
            self.target_dictionary,
            has_tags=self.data_config.prepend_tgt_lang_tag,
            **options,
        )

    def encode_source(self, text: str) -> np.ndarray:
        """The (W,) ids of a source text with end of sentence."""
        return self.transcript.encode(text, end=[self.source_dictionary.eos()])

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """fairseq's; language tags are no part of a hypothesis' text."""
        self.check_beam(args.beam)
        kwargs = {"symbols_to_strip_from_output": self.target.tags, **(extra_gen_cls_kwargs or {})}
        return super().build_generator(models, args, seq_gen_cls, kwargs, prefix_allowed_tokens_fn)

    def get_interactive_tokens_and_lengths(self, lines, encode_fn):
        """fairseq-interactive reads a sentence per line; it would encode it by the target's tokenizer."""
        sources = [self.encode_source(line) for line in lines]
        return sources, [len(source) for source in sources]

    def build_dataset_for_inference(self, src_tokens, src_lengths, **unused):
        return TextDataset([str(row) for row in range(len(src_tokens))], src_tokens, None, self.target_dictionary)
