"""A teacher that fairseq-train made with `--task speechllm_text_to_text`: its translations, and its probabilities of given targets."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from fairseq import checkpoint_utils, utils
from fairseq.dataclass.configs import GenerationConfig
from tqdm import tqdm

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.teacher_cache import TopKWriter, token_hash
from speechllm_plugin.data.text_dataset import TextDataset
from speechllm_plugin.distillation import kd_file
from speechllm_plugin.files import checkpoint_file
from speechllm_plugin.files.digests import short_file_digest
from speechllm_plugin.host.devices import existing_device
from speechllm_plugin.tasks.manifest_task import ManifestTask, ManifestTaskConfig
from speechllm_plugin.tasks.text_task import SpeechLLMTextToTextTask

TASK = "speechllm_text_to_text"
LN_2 = math.log(2)


@dataclass
class Teacher:
    """A checkpoint ready to translate.

    name: of its file, with a digest that tells it from any other.
    model: in eval mode, on the device.
    """

    name: str
    model: torch.nn.Module
    task: SpeechLLMTextToTextTask
    device: torch.device

    @classmethod
    def load(cls, checkpoint, data, *, cpu: bool, fp16: bool) -> "Teacher":
        """Load a checkpoint.

        Args:
            data: folder with the vocabularies that it was trained with.
            cpu: even where there is a GPU.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no checkpoint of this task, or of other vocabularies.
        """
        name = ((checkpoint_file.load(checkpoint).get("cfg") or {}).get("task") or {}).get("_name")
        if name != TASK:
            raise ValueError(
                f"{checkpoint}: must be trained with --task {TASK}, but is with {name}: decode it with fairseq-generate and give --teacher-output"
            )
        own_data = {"data": str(data)}
        [model], cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], arg_overrides=own_data)
        device = existing_device("cpu" if cpu else None)
        model = (model.half() if fp16 else model).to(device).eval()
        model.prepare_for_inference_(cfg)
        return cls(f"{Path(checkpoint).name} {short_file_digest(checkpoint)}", model, task, device)

    def translate(
        self,
        rows: Sequence[Utterance],
        writer: kd_file.Writer,
        *,
        beam: int,
        lenpen: float,
        max_len: tuple[float, int],
        max_tokens: int,
    ) -> None:
        """Write the k best translations of all rows that the writer has not yet, batch by batch, the longest first.

        Args:
            max_len: (a, b): a translation has at most a * (source tokens) + b tokens.
            max_tokens: source tokens of a batch. Its sources are equally long, as fairseq's search takes the limit from their padded
                length: so the translation of a row does not depend on where a run was cut off.

        Raises:
            ValueError: a row is too long for a batch or for the teacher.
        """
        k = writer.description["k"]
        options = GenerationConfig(beam=beam, nbest=k, lenpen=lenpen, max_len_a=max_len[0], max_len_b=max_len[1])
        generator = self.task.build_generator([self.model], options)
        waiting = [row for row in rows if row.id not in writer.done]
        dataset = self.task.text_dataset([replace(row, tgt_text="") for row in waiting])
        for batch in self.batches(dataset, max_tokens, equal_lengths=True):
            found = self.task.inference_step(generator, [self.model], batch)
            writer.write([(waiting[row], self._texts(best[:k])) for row, best in zip(batch["id"].tolist(), found)])

    def write_top_k(self, rows: Sequence[Utterance], student: ManifestTask, writer: TopKWriter, *, max_tokens: int) -> None:
        """Write the k most probable tokens at every position of the student's targets, for all rows that the writer has not yet.

        Args:
            student: the task over the student's data, which has the teacher's target vocabulary.
        """
        targets = [student.encode_target(row.id, row.tgt_text, row.tgt_lang) for row in rows]
        waiting = [number for number, row in enumerate(rows) if (row.id, token_hash(targets[number])) not in writer.done]
        dataset = TextDataset(
            [rows[number].id for number in waiting],
            [self.task.encode_source(rows[number].src_text) for number in waiting],
            [targets[number] for number in waiting],
            self.task.target_dictionary,
            has_tags=student.data_config.prepend_tgt_lang_tag,
        )
        for batch in self.batches(dataset, max_tokens):
            with torch.no_grad():
                probabilities = self.model.get_normalized_probs(self.model(**batch["net_input"]), log_probs=False)  # (B, U, V)
                top = probabilities.topk(writer.description["k"])
            values, ids = top.values.float().cpu().numpy(), top.indices.cpu().numpy()
            for position, row in enumerate(batch["id"].tolist()):
                length = len(dataset.targets[row])
                writer.add(dataset.ids[row], dataset.targets[row], ids[position, :length], values[position, :length])

    def batches(self, dataset: TextDataset, max_tokens: int, equal_lengths: bool = False) -> Iterator[dict]:
        """All rows in batches on the teacher's device, the longest first; with `equal_lengths` the sources in one are equally long."""
        if not len(dataset):
            return
        indices = dataset.ordered_indices()
        limits = utils.resolve_max_positions(self.task.max_positions(), self.model.max_positions())
        _, too_long = dataset.filter_indices_by_size(indices, limits)
        if too_long:
            raise ValueError(
                f"{len(too_long):,} of {len(dataset):,} rows are longer than the {limits[0]} source and {limits[1]} target tokens that the "
                "teacher was trained for (--max-source-positions, --max-target-positions); the first is utterance "
                f"{dataset.ids[too_long[0]]!r} with {' and '.join(map(str, dataset.size(too_long[0])))}: leave such rows out"
            )
        ends = np.flatnonzero(np.diff(dataset.source_lengths(indices))) + 1
        groups = np.split(indices, ends) if equal_lengths else [indices]
        for rows in tqdm([rows for group in groups for rows in dataset.batch_by_size(group, max_tokens=max_tokens)], unit="batch"):
            batch = dataset.collater([dataset[row] for row in rows])
            yield utils.move_to_cuda(batch, self.device) if self.device.type == "cuda" else batch

    def _texts(self, hypotheses):
        """(score in base 2, text) of a row's hypotheses, as fairseq-generate prints them."""
        stripped = {self.task.target_dictionary.eos(), *self.task.target.tags}
        tokens = [[token for token in hypothesis["tokens"].tolist() if token not in stripped] for hypothesis in hypotheses]
        return [(float(hypothesis["score"]) / LN_2, self.task.target.decode(ids)) for hypothesis, ids in zip(hypotheses, tokens)]


def open_student(data, config_yaml: str) -> ManifestTask:
    """The vocabularies and targets of a data folder."""
    return ManifestTask(ManifestTaskConfig(data=str(data), config_yaml=config_yaml))


def check_same_targets(teacher: Teacher, student: ManifestTask) -> None:
    """Raise ValueError unless a teacher's probabilities are about the student's tokens."""
    theirs, ours = teacher.task.target, student.target
    if theirs.digest() != ours.digest():
        pairs = itertools.zip_longest(theirs.dictionary.symbols, ours.dictionary.symbols)
        number = next(number for number, (one, other) in enumerate(pairs) if one != other)
        raise ValueError(
            f"{teacher.task.data_config_path}: --word-level needs a teacher with the target vocabulary of {student.data_config_path}, but "
            f"it has {len(theirs.dictionary):,} types and the student {len(ours.dictionary):,} (first difference: type {number}): "
            "train a teacher on this data"
        )
    tags = [task.data_config.prepend_tgt_lang_tag for task in (teacher.task, student)]
    if tags[0] != tags[1]:
        raise ValueError(
            f"{teacher.task.data_config_path}: prepend_tgt_lang_tag is {tags[0]} for the teacher, but {tags[1]} in "
            f"{student.data_config_path}: train a teacher on this data"
        )
