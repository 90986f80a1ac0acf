"""The speech task: data sets, model and generator, as the fairseq commands ask for them."""

import logging
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import torch
from fairseq.tasks import register_task
from omegaconf import DictConfig
from torch.utils.data import ConcatDataset

from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.dataset import SpeechTextDataset
from speechllm_plugin.data.kd_texts import kd_texts
from speechllm_plugin.data.row_dataset import temperature_repeats
from speechllm_plugin.data.teacher import TopKCache
from speechllm_plugin.generation.beam_search import BeamSearch, unserved_options
from speechllm_plugin.host import peak_memory
from speechllm_plugin.host.read_values import keep_values
from speechllm_plugin.models.conformer import MaskedBatchNorm
from speechllm_plugin.models.initialisation import initialise
from speechllm_plugin.models.speech_to_text import SpeechToTextModel
from speechllm_plugin.tasks.joint_decoding import joint_decoding
from speechllm_plugin.tasks.manifest_task import ManifestTask, ManifestTaskConfig
from speechllm_plugin.tasks.printed_alignment import alignment

logger = logging.getLogger(__name__)

# What fairseq offers, but fails at where the source is speech, or would silently not do with these models.
REFUSED_OPTIONS = ("diverse_beam_groups", "print_step", "retain_dropout")

DECODING_OPTIONS = ("ctc_decoding_weight", "alignment_layer", "alignment_heads")


@dataclass
class SpeechToTextTaskConfig(ManifestTaskConfig):
    max_source_positions: int = field(default=6000, metadata={"help": "frames of the longest utterance"})
    ctc_decoding_weight: float = field(
        default=0.0,
        metadata={
            "help": "in decoding, of the CTC head's log probability of a text; the decoder's has the rest (0 = the decoder alone). "
            "For recognition: the head and the decoder must write the same words"
        },
    )
    alignment_layer: int = field(default=0, metadata={"help": "decoder layer that --print-alignment looks at, from 1; 0 = the last"})
    alignment_heads: Optional[str] = field(default=None, metadata={"help": "its heads, from 1, as in 1,3, whose mean is printed (default: all)"})


@register_task("speechllm_speech_to_text", dataclass=SpeechToTextTaskConfig)
class SpeechLLMSpeechToTextTask(ManifestTask):
    """Speech recognition and translation over manifests. `transcript_dictionary` is None where the data has no transcripts."""

    # A source dictionary would make fairseq-generate print features as if they were tokens.
    source_dictionary = None
    # Of a teacher, what the criterion asks for in training: whether its texts, and the folder of its word probabilities.
    needs_kd_text = False
    word_kd_cache = None

    @property
    def transcript_dictionary(self):
        return None if self.transcript is None else self.transcript.dictionary

    def transcript_text(self, ids: list[int]) -> str:
        return self.transcript.decode(ids)

    def load_dataset(self, split, combine=False, **unused):
        """Read the manifest(s) of a split; fairseq asks for `combine` when, and only when, it is going to train on it."""
        is_training, utterances, targets, kd_targets, caches = combine, [], [], [], []
        for option in DECODING_OPTIONS:
            if is_training and getattr(self.cfg, option):
                raise ValueError(f"--{option.replace('_', '-')} {getattr(self.cfg, option)} is for decoding, not for training: leave it out")
        for name in split.split(","):
            path = Path(self.cfg.data) / f"{name}.tsv"
            rows = manifest.read(path)
            if is_training:
                needs_transcript = self.transcript is not None or self.data_config.transcribe_probability > 0
                self.check_training_texts(path, rows, needs_transcript)
            utterances += rows
            targets += [self.encode_target(row.id, row.tgt_text, row.tgt_lang) for row in rows]
            if is_training and self.needs_kd_text:
                for row, texts in zip(rows, kd_texts(path, rows, several=self.data_config.sample_kd_texts)):
                    kd_targets.append([self.encode_target(row.id, text, row.tgt_lang) for text in texts])
            if is_training and self.word_kd_cache:
                ids, own_targets = [row.id for row in rows], targets[-len(rows) :]
                caches.append(TopKCache(Path(self.word_kd_cache) / name, self.target.digest(), ids, own_targets))
        use_cmvn, augment = self.data_config.transforms(is_training, split)
        transcripts = transcriptions = languages = None
        if self.transcript is not None:
            transcripts = [self.transcript.encode(row.src_text, end=[]) for row in utterances]
        if is_training and self.data_config.transcribe_probability:
            transcriptions = [self.encode_target(row.id, row.src_text, row.src_lang) for row in utterances]
        if is_training and self.data_config.sampling_alpha != 1:
            languages = [f"{row.src_lang}-{row.tgt_lang}" for row in utterances]
        self.datasets[split] = SpeechTextDataset(
            [row.audio for row in utterances],
            [row.n_frames for row in utterances],
            self.data_config.audio_root,
            self.target_dictionary,
            ids=[row.id for row in utterances],
            targets=targets,
            transcripts=transcripts,
            transcriptions=transcriptions,
            transcribe_probability=self.data_config.transcribe_probability,
            kd_targets=kd_targets or None,
            teacher=ConcatDataset(caches) if caches else None,
            has_tags=self.data_config.prepend_tgt_lang_tag,
            repeats=languages and temperature_repeats(languages, self.data_config.sampling_alpha),
            use_cmvn=use_cmvn,
            augment=augment if is_training else None,
            shuffle=is_training,
            seed=self.cfg.seed,
        )

    def build_criterion(self, cfg, from_checkpoint=False):
        """As fairseq's; what is loaded from now on has the teacher's part that this criterion learns from."""
        criterion = super().build_criterion(cfg, from_checkpoint)
        self.needs_kd_text = getattr(criterion, "needs_kd_text", False)
        self.word_kd_cache = getattr(criterion, "word_kd_cache", None)
        if self.word_kd_cache and self.data_config.transcribe_probability:
            raise ValueError(
                f"--word-kd-cache has a teacher's probabilities of translations, but transcribe_probability in {self.data_config_path} is "
                f"{self.data_config.transcribe_probability}, so that some targets are transcripts: leave out one of them"
            )
        return criterion

    def build_model(self, cfg, from_checkpoint=False):
        if isinstance(cfg, Namespace):  # fairseq's own speech models: peers on the same data
            cfg.input_feat_per_channel, cfg.input_channels = self.data_config.input_feat_per_channel, 1
        model = super().build_model(cfg, from_checkpoint)
        if isinstance(model, SpeechToTextModel) and not from_checkpoint:
            initialise(model, cfg, self.state_dict()["vocabularies"])
        return model

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """As fairseq's; a rank without data left repeats a batch, which must not count in the statistics of batch norm.

        A criterion whose weights depend on the update learns which it is.
        """
        for module in model.modules():
            if isinstance(module, MaskedBatchNorm):
                module.counts = not ignore_grad
        if hasattr(criterion, "set_num_updates"):
            criterion.set_num_updates(update_num)
        return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """BeamSearch, or fairseq's generator where an option needs it."""
        whole = args._get_parent() if isinstance(args, DictConfig) else None
        if whole is not None:
            peak_memory.log_at_exit()
            keep_values(whole)
            for model in models:
                if whole.common.bf16 and isinstance(model, SpeechToTextModel):
                    model.to(torch.bfloat16)  # fairseq-generate converts for --fp16 only
        tags = self.target.tags
        for option in REFUSED_OPTIONS:
            if getattr(args, option, None) not in (None, False, -1):
                raise ValueError(f"--{option.replace('_', '-')} is not available with speech and these models: leave it out")
        unserved = unserved_options(args, prefix_allowed_tokens_fn=prefix_allowed_tokens_fn, **(extra_gen_cls_kwargs or {}))
        unserved += [type(model).__name__ for model in models if not isinstance(model, SpeechToTextModel)]
        aligned = alignment(getattr(args, "print_alignment", None), self.cfg.alignment_layer, self.cfg.alignment_heads, models, unserved)
        joint = joint_decoding(self.cfg.ctc_decoding_weight, models, self.target, self.transcript, unserved)
        if seq_gen_cls is not None or unserved:
            logger.warning(f"the plugin's beam search does not serve {', '.join(unserved) or seq_gen_cls}: fairseq's generator is used")
            kwargs = {"symbols_to_strip_from_output": tags, **(extra_gen_cls_kwargs or {})}
            return super().build_generator(models, args, seq_gen_cls, kwargs, prefix_allowed_tokens_fn)
        dictionary = self.target_dictionary
        return BeamSearch(
            models,
            pad=dictionary.pad(),
            eos=dictionary.eos(),
            unk=dictionary.unk(),
            vocab_size=len(dictionary),
            beam_size=args.beam,
            max_len_a=args.max_len_a,
            max_len_b=args.max_len_b,
            min_len=args.min_len,
            normalize_scores=not args.unnormalized,
            len_penalty=args.lenpen,
            unk_penalty=args.unkpen,
            temperature=args.temperature,
            no_repeat_ngram_size=args.no_repeat_ngram_size,
            symbols_to_strip_from_output=tags,
            joint=joint,
            alignment=aligned,
        )

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        hypotheses = super().inference_step(generator, models, sample, prefix_tokens, constraints)
        del sample["net_input"]["src_tokens"]  # fairseq-generate would look for padding in it, row by row, for nothing
        return hypotheses

    def get_interactive_tokens_and_lengths(self, lines, encode_fn):
        """fairseq-interactive reads one audio file or segment per line; its path starts from the current folder."""
        speech = [features.read(line, Path.cwd()) for line in lines]
        return speech, [len(states) for states in speech]

    def build_dataset_for_inference(self, src_tokens, src_lengths, **unused):
        use_cmvn, _ = self.data_config.transforms(is_train=False)
        return SpeechTextDataset(src_tokens, src_lengths, None, self.target_dictionary, read=lambda speech, root: speech, use_cmvn=use_cmvn)
