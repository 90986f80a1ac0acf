"""What the tasks share: flags, vocabularies, targets with tags, and which rows may be left out."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from fairseq.data import Dictionary
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import FairseqTask
from omegaconf import II, MISSING

from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.packed import lengths_of, number_of
from speechllm_plugin.data.row_dataset import RowDataset
from speechllm_plugin.files import checkpoint_file
from speechllm_plugin.files.separated_paths import check_one_path
from speechllm_plugin.host import configuration
from speechllm_plugin.host.idle_ranks import LEAVE_OUT
from speechllm_plugin.tasks import training_folder, vocabulary_files
from speechllm_plugin.tasks.failing_batches import FEWEST_UPDATES, FailingBatches, naming_shape
from speechllm_plugin.tasks.lasting_workers import LastingBatches, LastingWorkers
from speechllm_plugin.tasks.rank_batches import RankBatches
from speechllm_plugin.tasks.text_codec import TextCodec

logger = logging.getLogger(__name__)

MAX_SHARE_UNKNOWN = 0.25  # of the tokens to learn; another script has up to half, as blanks between its words are known


@dataclass
class ManifestTaskConfig(FairseqDataclass):
    """The flags that both tasks have."""

    data: str = field(default=MISSING, metadata={"help": "folder of the manifests and the data configuration"})
    config_yaml: str = field(default="config.yaml", metadata={"help": "data configuration, in that folder"})
    max_target_positions: int = field(default=1024, metadata={"help": "tokens of the longest text"})
    seed: int = II("common.seed")
    # A reused loader would never shuffle again, and its workers never learn of a new epoch; what is not reused must not stay alive.
    reuse_dataloader: bool = False
    persistent_workers: bool = False
    skip_bad_batches: float = field(
        default=0.0,
        metadata={
            "help": "share of the updates, from 0 to 1, that training may leave out because their loss or gradient is not finite; each is "
            f"logged with its rows, the first {FEWEST_UPDATES:,} updates count as so many (0: the first such update ends the training)"
        },
    )
    rebuild_batches: bool = field(default=True, metadata={"help": "group utterances into new batches in every epoch"})
    length_noise: float = field(
        default=0.0,
        metadata={
            "help": "training groups utterances by lengths that are off by up to this part, anew in every epoch, so that those of equal length "
            "do not always share a batch; 0.02 costs 1.7% of padding (0 = by their lengths)"
        },
    )


class ManifestTask(FairseqTask):
    """Base of the tasks over manifests; their data sets are RowDatasets, their flags those above and --max-source-positions.

    Attributes:
        failing_batches: what becomes of batches without a finite gradient, or too large for the memory.
        workers: the processes that read each split in training; they wait between its epochs.
        target, transcript: the codecs of tgt_text and src_text; `transcript` is None where the data has no transcripts.
    """

    starts_from: Path | None = None  # the checkpoint that training goes on from, until its vocabularies were compared

    @classmethod
    def setup_task(cls, cfg: ManifestTaskConfig, from_checkpoint=False, **unused):
        command = configuration.whole(cfg)
        if command is not None:
            configuration.correct(command)
            check_one_path("--save-dir", command.checkpoint.save_dir)
            if not from_checkpoint:
                configuration.check_shard(command)
                training_folder.enter(command)
        task = cls(cfg)
        task.starts_from = None if command is None else configuration.starting_checkpoint(command)
        return task

    def __init__(self, cfg: ManifestTaskConfig):
        super().__init__(cfg)
        if not 0 <= cfg.length_noise < 1:
            raise ValueError(f"--length-noise must be at least 0 and below 1, but is {cfg.length_noise}")
        self.failing_batches = FailingBatches(cfg.skip_bad_batches)
        self.workers: dict[RowDataset, LastingWorkers] = {}
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
        dictionary = vocabulary_files.load_dictionary(path)
        logger.info(f"vocabulary {filename}: {len(dictionary):,} types")
        return dictionary

    @property
    def target_dictionary(self):
        return self.target.dictionary

    def max_positions(self):
        return self.cfg.max_source_positions, self.cfg.max_target_positions

    def filter_indices_by_size(self, indices, dataset, max_positions=None, ignore_invalid_inputs=False):
        """Training leaves out what is too long, with a warning; elsewhere nothing may go missing silently."""
        _, too_long = dataset.filter_indices_by_size(indices, max_positions)
        if too_long and not ignore_invalid_inputs:
            length, num_tokens = dataset.size(too_long[0])
            raise ValueError(
                f"{dataset.place(too_long[0])} has {length} {dataset.unit} and {num_tokens} tokens, but --max-source-positions "
                f"and --max-target-positions allow {max_positions[0]} and {max_positions[1]} (rows too long: {len(too_long)}): raise them, or "
                "give --skip-invalid-size-inputs-valid-test to leave such rows out"
            )
        if len(too_long) == len(indices):
            raise ValueError(
                f"all {len(indices)} rows are longer than the {max_positions[0]} {dataset.unit} and {max_positions[1]} tokens that "
                "--max-source-positions, --max-target-positions and --max-tokens allow: raise them"
            )
        return super().filter_indices_by_size(indices, dataset, max_positions, ignore_invalid_inputs)

    def get_batch_iterator(self, dataset, *arguments, num_shards=1, **options):
        """As fairseq's; a split keeps its workers, and in training all ranks have as many batches."""
        iterator = super().get_batch_iterator(dataset, *arguments, num_shards=num_shards, **options)
        for replaced in self.workers.keys() - set(self.datasets.values()):
            self.workers.pop(replaced).end()
        if dataset in self.datasets.values():
            LastingBatches.of(iterator, self.workers)
        if not dataset.shuffle:
            return iterator
        return RankBatches.of_ranks(iterator, num_shards * dataset.own_share[1], depends_on_ranks=bool(getattr(dataset, "shapes", ())))

    def check_training_texts(self, path, columns: Mapping[str, Sequence[str]], needs_transcript: bool, first_line: int = 2):
        for column in ("tgt_text", "src_text") if needs_transcript else ("tgt_text",):
            if not all(map(str.strip, columns[column])):
                row = next(row for row, text in enumerate(columns[column]) if not text.strip())
                raise ValueError(
                    f"{path}:{first_line + row}: {column} must not be empty in training (utterance {columns['id'][row]}): fill it in or drop the row"
                )

    def check_known(self, path, column: str, codec: TextCodec, texts: Sequence[np.ndarray]):
        """Say how many tokens of training texts are <unk>; raise ValueError where they are too many."""
        unknown, total = number_of(codec.dictionary.unk(), texts), int(lengths_of(texts).sum())
        if unknown > MAX_SHARE_UNKNOWN * total:
            raise ValueError(
                f"{path}: {unknown:,} of {total:,} tokens of {column} are <unk>, as the vocabulary has no such characters or words: give the "
                "vocabulary of these texts"
            )
        if unknown:
            logger.warning(f"{path}: {unknown:,} of {total:,} tokens of {column} are <unk>")

    def check_beam(self, beam: int):
        """Raise ValueError for no hypothesis, or more than the first step has tokens: all but padding, which is never chosen."""
        if beam < 1:
            raise ValueError(f"--beam must be positive, but is {beam}")
        if beam >= len(self.target_dictionary):
            raise ValueError(f"--beam must be below the {len(self.target_dictionary):,} types of the target vocabulary, but is {beam}")

    def encode_target(self, utterance_id: str, text: str, language: str) -> np.ndarray:
        """The (U,) ids of a text with end of sentence, after the tag of the language if the data configuration wants tags."""
        ids = self.target.encode(text, end=[self.target_dictionary.eos()])
        if not self.data_config.prepend_tgt_lang_tag:
            return ids
        return np.concatenate([[self.language_tag(language or self.data_config.tgt_lang, f"utterance {utterance_id}")], ids])

    def encode_targets(self, ids: Sequence[str], texts: Sequence[str], languages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """What `encode_target` makes of each text: the ids of all, one text behind the other, and (texts,) lengths."""
        values, lengths = self.target.encode_all(texts, end=[self.target_dictionary.eos()])
        if not self.data_config.prepend_tgt_lang_tag:
            return values, lengths
        tags = [self.language_tag(language or self.data_config.tgt_lang, f"utterance {id}") for id, language in zip(ids, languages)]
        return np.insert(values, lengths.cumsum() - lengths, tags), lengths + 1

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

    def state_dict(self):
        """The part of the task that a checkpoint keeps: digests of the vocabularies that its weights belong to, and of their tokenizers."""
        codecs = {name: codec for name, codec in (("target", self.target), ("transcript", self.transcript)) if codec is not None}
        return {
            "vocabularies": {name: codec.digest() for name, codec in codecs.items()},
            "tokenizers": {name: codec.tokenizer_digest() for name, codec in codecs.items()},
        }

    def load_state_dict(self, state_dict):
        """Training goes on, and decoding begins, with the vocabularies of the checkpoint only; what it does not name is not compared."""
        ours = self.state_dict()
        for part, what in (("vocabularies", "vocabulary is not the one"), ("tokenizers", "SentencePiece model is not the one")):
            for name, digest in state_dict.get(part, {}).items():
                if ours[part].get(name, digest) != digest:
                    raise ValueError(
                        f"{self.data_config_path}: its {name} {what} that the checkpoint was trained with: give the data folder of that training"
                    )

    # Of a batch that the trainer hands over to be left out, see host.idle_ranks.
    leaves_out_batches = True

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """As fairseq's; a batch that a rank only repeats, as it has none left, counts nowhere."""
        is_left_out = sample.get(LEAVE_OUT, False)
        self.prepare_step(sample, model, criterion, optimizer, update_num, ignore_grad or is_left_out)
        loss, sample_size, log = super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad or is_left_out)
        return (loss, 0 * sample_size, {name: 0 * value for name, value in log.items()}) if is_left_out else (loss, sample_size, log)

    def prepare_step(self, sample, model, criterion, optimizer, update_num, ignore_grad):
        """What is to be set before forward and backward pass of a batch, which counts unless ignore_grad is True."""

    def begin_epoch(self, epoch, model):
        """fairseq's trainer hands a task nothing of the checkpoint that it goes on from, so the task reads its part itself, once."""
        if self.starts_from is not None:
            self.load_state_dict(checkpoint_file.load(self.starts_from, whole=False).get("task_state", {}))
            self.starts_from = None

    def build_tokenizer(self, args):
        return self.target.tokenizer

    def build_bpe(self, args):
        return self.target.bpe

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        """The n-best lists of a batch; where the data configuration wants tags, every hypothesis begins with that of its row's language."""
        if self.data_config.prepend_tgt_lang_tag:
            tag = sample["tag"] if "tag" in sample else self.interactive_tags(sample)
            prefix_tokens = torch.cat([tag[:, None], *([] if prefix_tokens is None else [prefix_tokens[:, 1:]])], dim=1)
        with naming_shape(sample):
            return super().inference_step(generator, models, sample, prefix_tokens, constraints)

    def interactive_tags(self, sample) -> torch.Tensor:
        """The (B,) tags under fairseq-interactive, which has no manifest that names a language: that of the data configuration."""
        lengths = sample["net_input"]["src_lengths"]
        return torch.full_like(lengths, self.language_tag(self.data_config.tgt_lang, "fairseq-interactive"))
