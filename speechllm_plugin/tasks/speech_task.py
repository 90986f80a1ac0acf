"""The speech task: data sets, model and generator, as the fairseq commands ask for them."""

import functools
import logging
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from fairseq.tasks import register_task

from speechllm_plugin.data import prepared_archives
from speechllm_plugin.data.batch_shapes import described, plan_shapes
from speechllm_plugin.data.features import read as read_features
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.manifest_blocks import LINES_PER_BLOCK
from speechllm_plugin.data.packed import PackedArrays, PackedGroups
from speechllm_plugin.data.row_dataset import temperature_repeats
from speechllm_plugin.data.speech_dataset import SpeechRows, SpeechTextDataset
from speechllm_plugin.data.speech_texts import SpeechTexts
from speechllm_plugin.generation.beam_search import BeamSearch
from speechllm_plugin.generation.unserved import unserved_options
from speechllm_plugin.host import configuration, peak_memory
from speechllm_plugin.models.captured_encoder import capture_encoder
from speechllm_plugin.models.initialisation import initialise
from speechllm_plugin.models.speech_to_text import SpeechToTextModel
from speechllm_plugin.tasks import captured_steps, impossible_transcripts, teachers_texts
from speechllm_plugin.tasks.captured_steps import TrainedModel
from speechllm_plugin.tasks.hot_word_decoding import DEFAULT_BONUS, hot_words
from speechllm_plugin.tasks.joint_decoding import joint_decoding
from speechllm_plugin.tasks.manifest_task import ManifestTask, ManifestTaskConfig
from speechllm_plugin.tasks.printed_alignment import alignment
from speechllm_plugin.tasks.speech_hub import SpeechHub
from speechllm_plugin.tasks.split_reading import read_split

logger = logging.getLogger(__name__)

# What fairseq offers, but fails at where the source is speech, or would silently not do with these models.
REFUSED_OPTIONS = ("diverse_beam_groups", "print_step", "retain_dropout")

DECODING_OPTIONS = ("ctc_decoding_weight", "hot_words", "hot_word_bonus", "alignment_layer", "alignment_heads")


@dataclass
class SpeechToTextTaskConfig(ManifestTaskConfig):
    """The flags of --task speechllm_speech_to_text."""

    max_source_positions: int = field(default=6000, metadata={"help": "frames of the longest utterance"})
    num_batch_buckets: int = field(
        default=0,
        metadata={
            "help": "train on batches of this many shapes (rows, frames, tokens) at most, padded to them, so that what is captured or "
            "compiled for a shape serves many batches; 32 cost 5% of padding (0 = every batch as wide as its longest utterance)"
        },
    )
    cuda_graphs: int = field(default=0, metadata={"help": captured_steps.HELP})
    ctc_decoding_weight: float = field(
        default=0.0,
        metadata={
            "help": "in decoding, of the CTC head's log probability of a text; the decoder's has the rest (0 = the decoder alone). "
            "For recognition: the head and the decoder must write the same words"
        },
    )
    hot_words: Optional[str] = field(
        default=None, metadata={"help": "file of words or phrases that decoding is to favour, one a line, spelled as a text has them (default: none)"}
    )
    hot_word_bonus: Optional[float] = field(
        default=None,
        metadata={
            "help": "added to the log probability of a text, and to its score, for every character of it that belongs to a hot word; taken back "
            f"if the word goes on otherwise (default: {DEFAULT_BONUS})"
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
    # Frames -> states of the CTC head, of the last model that was built, and once a criterion uses it; None without.
    built_ctc_states = num_ctc_states = None
    trained: TrainedModel | None = None  # once it is trained

    @classmethod
    def of_checkpoint(cls, state: Mapping, data: str | Path) -> "SpeechLLMSpeechToTextTask":
        """The task of a checkpoint's dictionary, over a data folder with its vocabularies; flags that are younger have their defaults."""
        known = {field.name for field in fields(SpeechToTextTaskConfig)}
        flags = {name: value for name, value in state["cfg"]["task"].items() if name in known}
        task = cls(SpeechToTextTaskConfig(**{**flags, "data": str(data)}))
        task.load_state_dict(state.get("task_state") or {})
        return task

    @property
    def transcript_dictionary(self):
        return None if self.transcript is None else self.transcript.dictionary

    def transcript_text(self, ids: list[int]) -> str:
        return self.transcript.decode(ids)

    def load_dataset(self, split, combine=False, **unused):
        """Read the manifest(s) of a split; fairseq asks for `combine` when, and only when, it is going to train on it."""
        is_training, parts = combine, []
        for option in DECODING_OPTIONS:
            if is_training and getattr(self.cfg, option):
                raise ValueError(f"--{option.replace('_', '-')} {getattr(self.cfg, option)} is for decoding, not for training: leave it out")
        rows, texts, directions = SpeechRows(), self.no_texts(is_training), []
        for name in split.split(","):
            path, start = Path(self.cfg.data) / f"{name}.tsv", len(rows)
            prepared_archives.check_sizes(self.data_config.audio_root, path.name)
            for rows_of_block, directions_of_block, texts_of_block in read_split(path, functools.partial(self.read_block, path, is_training)):
                rows.add(rows_of_block)
                directions += directions_of_block
                texts.add(texts_of_block)
            parts.append((name, range(start, len(rows))))
        repeats = temperature_repeats(directions, self.data_config.sampling_alpha) if directions else None
        if is_training:
            if self.word_kd_cache:
                texts = replace(texts, teacher=teachers_texts.probabilities(self, parts, rows.ids, texts.targets))
            self.check_known(path, "tgt_text", self.target, texts.targets)
            if self.transcript is not None:
                self.check_known(path, "src_text", self.transcript, texts.transcripts)
        else:
            texts = replace(texts, asr_targets=None)
        if self.num_ctc_states is not None and texts.transcripts is not None:
            impossible_transcripts.warn(split, rows, texts.transcripts, self.num_ctc_states)
        use_cmvn, augment = self.data_config.transforms(is_training, split)
        self.datasets[split] = SpeechTextDataset(
            rows,
            self.data_config.audio_root,
            self.target_dictionary,
            texts,
            repeats=repeats,
            sample_bits=self.data_config.sample_bits,
            use_cmvn=use_cmvn,
            augment=augment if is_training else None,
            shuffle=is_training,
            length_noise=self.cfg.length_noise,
            seed=self.cfg.seed,
        )
        self.datasets[split].must_be_finite = not (is_training and self.cfg.skip_bad_batches)

    def get_batch_iterator(
        self, dataset, max_tokens=None, max_sentences=None, max_positions=None, ignore_invalid_inputs=False, required_batch_size_multiple=1, **options
    ):
        """As fairseq's; with --num-batch-buckets, the batches of training have few shapes, which the log names once."""
        if self.cfg.num_batch_buckets < 0:
            raise ValueError(f"--num-batch-buckets must not be negative (0 = no buckets), but is {self.cfg.num_batch_buckets}")
        if self.cfg.num_batch_buckets and dataset.shuffle and not dataset.shapes:
            rows, _ = dataset.filter_indices_by_size(np.arange(len(dataset)), max_positions)
            if len(rows):
                lengths = dataset.lengths(rows)
                sizes = max_tokens, max_sentences, required_batch_size_multiple
                dataset.own_share = options.get("shard_id", 0), options.get("num_shards", 1)
                dataset.shapes = plan_shapes(lengths, self.cfg.num_batch_buckets, *sizes, dataset.own_share[1])
                logger.info(described(dataset.shapes, lengths))
        if dataset.shuffle and dataset.shapes:
            options |= {"shard_id": 0, "num_shards": 1}  # the data set's batches are those of this rank
        return super().get_batch_iterator(
            dataset, max_tokens, max_sentences, max_positions, ignore_invalid_inputs, required_batch_size_multiple, **options
        )

    def no_texts(self, is_training: bool) -> SpeechTexts:
        """Room for the token ids of rows: targets, and what else the data has."""
        largest = len(self.target_dictionary)
        return SpeechTexts(
            targets=PackedArrays(largest),
            transcripts=None if self.transcript is None else PackedArrays(len(self.transcript_dictionary)),
            asr_targets=PackedArrays(largest) if self.data_config.transcribe_probability else None,
            transcribe_probability=self.data_config.transcribe_probability,
            kd_targets=PackedGroups(largest) if is_training and self.needs_kd_text else None,
            has_tags=self.data_config.prepend_tgt_lang_tag,
        )

    def read_block(self, path: Path, is_training: bool, columns: Mapping[str, Sequence[str]], number: int):
        """The rows of a block, their directions if sampling asks for them, and their texts."""
        if is_training:
            needs_transcript = self.transcript is not None or self.data_config.transcribe_probability > 0
            self.check_training_texts(path, columns, needs_transcript, first_line=2 + number * LINES_PER_BLOCK)
        rows, texts = SpeechRows(), self.no_texts(is_training)
        texts.targets.extend(*self.encode_targets(columns["id"], columns["tgt_text"], columns["tgt_lang"]))
        if self.transcript is not None:
            texts.transcripts.extend(*self.transcript.encode_all(columns["src_text"], end=[]))
        if self.data_config.transcribe_probability and is_training:
            texts.asr_targets.extend(*self.encode_targets(columns["id"], columns["src_text"], columns["src_lang"]))
        if texts.kd_targets is not None:
            texts.kd_targets.extend(*teachers_texts.kd_targets(self, path, columns))
        rows.extend(columns["id"], columns["audio"], map(int, columns["n_frames"]))
        sampled = is_training and self.data_config.sampling_alpha != 1
        return rows, list(map("-".join, zip(columns["src_lang"], columns["tgt_lang"]))) if sampled else [], texts

    def build_criterion(self, cfg, from_checkpoint=False):
        """As fairseq's; what is loaded from now on has the teacher's part that this criterion learns from."""
        criterion = super().build_criterion(cfg, from_checkpoint)
        self.num_ctc_states = self.built_ctc_states
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
        if isinstance(model, SpeechToTextModel) and model.encoder.ctc_head is not None:
            self.built_ctc_states = model.encoder.subsampling.num_states
        if isinstance(model, SpeechToTextModel) and not from_checkpoint:
            initialise(model, cfg, self.state_dict()["vocabularies"])
        return model

    def prepare_step(self, sample, model, criterion, optimizer, update_num, ignore_grad):
        """A criterion whose weights depend on the update learns which it is."""
        if self.trained is None or self.trained.model is not model:
            peak_memory.log_at_exit()
            self.trained = TrainedModel(model, optimizer, self.cfg.cuda_graphs, self.cfg.num_batch_buckets, self.cfg.skip_bad_batches > 0)
        self.trained.prepare_step(ignore_grad, sample.get("has_shape", False))
        if hasattr(criterion, "set_num_updates"):
            criterion.set_num_updates(update_num)

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """BeamSearch, or fairseq's generator where an option needs it."""
        command = configuration.whole(args)
        if command is not None:
            peak_memory.log_at_exit()
            configuration.keep_values(command)
            for model in models:
                if command.common.bf16 and isinstance(model, SpeechToTextModel):
                    model.to(torch.bfloat16)  # fairseq-generate converts for --fp16 only
        self.check_beam(args.beam)
        if args.nbest > args.beam:
            raise ValueError(f"--nbest must be at most --beam ({args.beam}), but is {args.nbest}: raise --beam")
        tags = self.target.tags
        for option in REFUSED_OPTIONS:
            if getattr(args, option, None) not in (None, False, -1):
                raise ValueError(f"--{option.replace('_', '-')} is not available with speech and these models: leave it out")
        unserved = unserved_options(args, prefix_allowed_tokens_fn=prefix_allowed_tokens_fn, **(extra_gen_cls_kwargs or {}))
        unserved += [type(model).__name__ for model in models if not isinstance(model, SpeechToTextModel)]
        aligned = alignment(getattr(args, "print_alignment", None), self.cfg.alignment_layer, self.cfg.alignment_heads, models, unserved)
        favoured = hot_words(self.cfg.hot_words, self.cfg.hot_word_bonus, self.target, unserved)
        joint = joint_decoding(self.cfg.ctc_decoding_weight, models, self.target, self.transcript, unserved)
        if seq_gen_cls is not None or unserved:
            logger.warning(f"the plugin's beam search does not serve {', '.join(unserved) or seq_gen_cls}: fairseq's generator is used")
            kwargs = {"symbols_to_strip_from_output": tags, **(extra_gen_cls_kwargs or {})}
            return super().build_generator(models, args, seq_gen_cls, kwargs, prefix_allowed_tokens_fn)
        for model in models:
            capture_encoder(model)
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
            hot_words=favoured,
            alignment=aligned,
        )

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        hypotheses = super().inference_step(generator, models, sample, prefix_tokens, constraints)
        del sample["net_input"]["src_tokens"]  # fairseq-generate would look for padding in it, row by row, for nothing
        return hypotheses

    def hub_interface(self, cfg, models) -> SpeechHub:
        """What from_pretrained returns."""
        return SpeechHub(cfg, self, models)

    def get_interactive_tokens_and_lengths(self, lines, encode_fn):
        """fairseq-interactive reads one audio file or segment per line; its path starts from the current folder."""
        speech = [read_features(line, Path.cwd(), self.data_config.sample_bits) for line in lines]
        return speech, [len(features) for features in speech]

    def build_dataset_for_inference(self, src_tokens, src_lengths, **unused):
        """Speech in memory, (T, C) features a line, as rows whose `audio` is the number of the line."""
        rows = [Utterance(str(line), str(line), int(num_frames), "") for line, num_frames in enumerate(src_lengths)]
        read, (use_cmvn, _) = lambda line, root: src_tokens[int(line)], self.data_config.transforms(is_train=False)
        return SpeechTextDataset(SpeechRows(rows), None, self.target_dictionary, SpeechTexts(), read=read, use_cmvn=use_cmvn)
