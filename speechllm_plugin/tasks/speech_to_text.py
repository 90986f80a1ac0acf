"""The task: dictionaries, data sets, model and generator, as the fairseq commands ask for them."""

import logging
from argparse import Namespace
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from fairseq.data import Dictionary
from fairseq.dataclass import FairseqDataclass
from fairseq.dataclass.configs import DatasetConfig
from fairseq.tasks import FairseqTask, register_task
from omegaconf import II, MISSING

from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.dataset import SpeechTextDataset, temperature_repeats
from speechllm_plugin.generation.beam_search import BeamSearch, unserved_options
from speechllm_plugin.models.conformer import MaskedBatchNorm
from speechllm_plugin.models.initialisation import initialise
from speechllm_plugin.models.speech_to_text import SpeechToTextModel
from speechllm_plugin.tasks.text_codec import TextCodec

logger = logging.getLogger(__name__)

# What fairseq offers, but fails at where the source is speech, or would silently not do with these models.
REFUSED_OPTIONS = ("print_alignment", "diverse_beam_groups", "print_step", "retain_dropout")


@dataclass
class SpeechToTextTaskConfig(FairseqDataclass):
    data: str = field(default=MISSING, metadata={"help": "folder of the manifests and the data configuration"})
    config_yaml: str = field(default="config.yaml", metadata={"help": "data configuration, in that folder"})
    max_source_positions: int = field(default=6000, metadata={"help": "frames of the longest utterance"})
    max_target_positions: int = field(default=1024, metadata={"help": "tokens of the longest text"})
    seed: int = II("common.seed")
    # A reused loader would never shuffle again, and its workers never learn of a new epoch; what is not reused must not stay alive.
    reuse_dataloader: bool = False
    persistent_workers: bool = False
    rebuild_batches: bool = field(default=True, metadata={"help": "group utterances into new batches in every epoch"})


@register_task("speechllm_speech_to_text", dataclass=SpeechToTextTaskConfig)
class SpeechLLMSpeechToTextTask(FairseqTask):
    """Speech recognition and translation over manifests. `transcript_dictionary` is None where the data has no transcripts."""

    # A source dictionary would make fairseq-generate print features as if they were tokens.
    source_dictionary = None

    @classmethod
    def setup_task(cls, cfg: SpeechToTextTaskConfig, **unused):
        whole = cfg._get_parent()
        if whole is not None:
            # fairseq takes --bf16 for a sign of a TPU: without torch_xla it means a GPU or the CPU.
            whole.common.tpu = whole.common.tpu and find_spec("torch_xla") is not None
            # fairseq fills a buffer of batches in a daemon thread, which can abort the process if it is inside torch at the end; the
            # loader's workers read ahead without it.
            if whole.dataset.data_buffer_size == DatasetConfig().data_buffer_size:
                whole.dataset.data_buffer_size = 0
        return cls(cfg)

    def __init__(self, cfg: SpeechToTextTaskConfig):
        super().__init__(cfg)
        self.data_config_path = Path(cfg.data) / cfg.config_yaml
        self.data_config = config = DataConfig.load(self.data_config_path)
        self.target = TextCodec(self.load_vocabulary(config.vocab_filename), config.pre_tokenizer, config.bpe_tokenizer)
        self.transcript = None
        if config.transcript_vocab_filename is not None:
            dictionary = self.load_vocabulary(config.transcript_vocab_filename)
            self.transcript = TextCodec(dictionary, config.pre_tokenizer, config.transcript_bpe_tokenizer)

    def load_vocabulary(self, filename: str) -> Dictionary:
        path = Path(self.cfg.data) / filename
        if not path.is_file():
            raise FileNotFoundError(f"{self.data_config_path}: names the vocabulary {filename}, but there is no {path}: prepare the data again")
        dictionary = Dictionary.load(str(path))
        logger.info(f"vocabulary {filename}: {len(dictionary):,} types")
        return dictionary

    @property
    def target_dictionary(self):
        return self.target.dictionary

    @property
    def transcript_dictionary(self):
        return None if self.transcript is None else self.transcript.dictionary

    def transcript_text(self, ids: list[int]) -> str:
        return self.transcript.decode(ids)

    def max_positions(self):
        return self.cfg.max_source_positions, self.cfg.max_target_positions

    def filter_indices_by_size(self, indices, dataset, max_positions=None, ignore_invalid_inputs=False):
        """Training leaves out what is too long, with a warning; elsewhere nothing may go missing silently."""
        _, too_long = dataset.filter_indices_by_size(indices, max_positions)
        if too_long and not ignore_invalid_inputs:
            num_frames, num_tokens = dataset.size(too_long[0])
            raise ValueError(
                f"{dataset.place(too_long[0])} has {num_frames} frames and {num_tokens} tokens, but --max-source-positions "
                f"and --max-target-positions allow {max_positions[0]} and {max_positions[1]} (rows too long: {len(too_long)}): raise them, or "
                "give --skip-invalid-size-inputs-valid-test to leave such rows out"
            )
        if len(too_long) == len(indices):
            raise ValueError(
                f"all {len(indices)} rows are longer than the {max_positions[0]} frames and {max_positions[1]} tokens that --max-source-positions, "
                "--max-target-positions and --max-tokens allow: raise them"
            )
        return super().filter_indices_by_size(indices, dataset, max_positions, ignore_invalid_inputs)

    def load_dataset(self, split, combine=False, **unused):
        """Read the manifest(s) of a split; fairseq asks for `combine` when, and only when, it is going to train on it."""
        is_training, utterances = combine, []
        for name in split.split(","):
            path = Path(self.cfg.data) / f"{name}.tsv"
            rows = manifest.read(path)
            if is_training:
                self.check_training_texts(path, rows)
            utterances += rows
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
            targets=[self.encode_target(row.id, row.tgt_text, row.tgt_lang) for row in utterances],
            transcripts=transcripts,
            transcriptions=transcriptions,
            transcribe_probability=self.data_config.transcribe_probability,
            has_tags=self.data_config.prepend_tgt_lang_tag,
            repeats=languages and temperature_repeats(languages, self.data_config.sampling_alpha),
            use_cmvn=use_cmvn,
            augment=augment if is_training else None,
            shuffle=is_training,
            seed=self.cfg.seed,
        )

    def check_training_texts(self, path, rows):
        needs_transcript = self.transcript is not None or self.data_config.transcribe_probability > 0
        for line, row in enumerate(rows, 2):
            for column, text in (("tgt_text", row.tgt_text), ("src_text", row.src_text if needs_transcript else "-")):
                if not text.strip():
                    raise ValueError(f"{path}:{line}: {column} must not be empty in training (utterance {row.id}): fill it in or drop the row")

    def encode_target(self, utterance_id: str, text: str, language: str) -> np.ndarray:
        """(U,) ids with end of sentence, after the tag of the language if the data configuration wants tags."""
        ids = self.target.encode(text, end=[self.target_dictionary.eos()])
        if not self.data_config.prepend_tgt_lang_tag:
            return ids
        return np.concatenate([[self.language_tag(language or self.data_config.tgt_lang, f"utterance {utterance_id}")], ids])

    def language_tag(self, language: str | None, place: str) -> int:
        if not language:
            raise ValueError(f"{place}: a tag needs its language: fill in tgt_lang in the manifest, or name tgt_lang in {self.data_config_path}")
        tag = self.target.tag(language)
        if tag is None:
            raise ValueError(
                f"{place}: the tag <lang:{language}> of its language is not in {self.data_config.vocab_filename}: "
                "correct the language, or prepare the data with it"
            )
        return tag

    def build_model(self, cfg, from_checkpoint=False):
        if isinstance(cfg, Namespace):                                  # fairseq's own speech models: peers on the same data
            cfg.input_feat_per_channel, cfg.input_channels = self.data_config.input_feat_per_channel, 1
        model = super().build_model(cfg, from_checkpoint)
        if isinstance(model, SpeechToTextModel) and not from_checkpoint:
            initialise(model, cfg, self.state_dict()["vocabularies"])
        return model

    def state_dict(self):
        """What a checkpoint keeps of the task: which vocabularies its weights belong to."""
        codecs = {"target": self.target, "transcript": self.transcript}
        return {"vocabularies": {name: codec.digest() for name, codec in codecs.items() if codec is not None}}

    def load_state_dict(self, state_dict):
        """Training goes on, and decoding begins, with the vocabularies of the checkpoint only; those of other tasks name none."""
        for name, digest in state_dict.get("vocabularies", {}).items():
            if self.state_dict()["vocabularies"].get(name, digest) != digest:
                raise ValueError(
                    f"{self.data_config_path}: its {name} vocabulary is not the one that the checkpoint was trained with: "
                    "give the data folder of that training"
                )

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """As fairseq's; a rank without data left repeats a batch, which must not count in the statistics of batch norm."""
        for module in model.modules():
            if isinstance(module, MaskedBatchNorm):
                module.counts = not ignore_grad
        return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

    def build_tokenizer(self, args):
        return self.target.tokenizer

    def build_bpe(self, args):
        return self.target.bpe

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """BeamSearch, or fairseq's generator where an option needs it."""
        tags = self.target.tags
        for option in REFUSED_OPTIONS:
            if getattr(args, option, None) not in (None, False, -1):
                raise ValueError(f"--{option.replace('_', '-')} is not available with speech and these models: leave it out")
        unserved = unserved_options(args, prefix_allowed_tokens_fn=prefix_allowed_tokens_fn, **(extra_gen_cls_kwargs or {}))
        unserved += [type(model).__name__ for model in models if not isinstance(model, SpeechToTextModel)]
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
        )

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        """Where the data configuration wants tags, every hypothesis begins with that of its row's language."""
        if self.data_config.prepend_tgt_lang_tag:
            tag = sample["tag"] if "tag" in sample else self.interactive_tags(sample)
            prefix_tokens = torch.cat([tag[:, None], *([] if prefix_tokens is None else [prefix_tokens[:, 1:]])], dim=1)
        return super().inference_step(generator, models, sample, prefix_tokens, constraints)

    def interactive_tags(self, sample) -> torch.Tensor:
        """(B,) fairseq-interactive has no manifest that names a language."""
        lengths = sample["net_input"]["src_lengths"]
        return torch.full_like(lengths, self.language_tag(self.data_config.tgt_lang, "fairseq-interactive"))

    def get_interactive_tokens_and_lengths(self, lines, encode_fn):
        """fairseq-interactive reads one audio file or segment per line; its path starts from the current folder."""
        speech = [features.read(line, Path.cwd()) for line in lines]
        return speech, [len(states) for states in speech]

    def build_dataset_for_inference(self, src_tokens, src_lengths, **unused):
        use_cmvn, _ = self.data_config.transforms(is_train=False)
        return SpeechTextDataset(
            src_tokens, src_lengths, None, self.target_dictionary, read=lambda speech, root: speech, use_cmvn=use_cmvn
        )
