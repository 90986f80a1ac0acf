"""Knowledge distillation: cross-entropy of the text and of a teacher's text for the same speech, over one pass of the model.

Per target token: (1 - w) L(original) + w CE(teacher's text), plus CTC as in ctc_cross_entropy, where w is --kd-weight and
L = (1 - v) CE + v KL(teacher, student), with v = --word-kd-weight. Both cross-entropies are label-smoothed. All are sums; they
are divided by (1 - w) times the tokens of the original plus w times those of the teacher's text. Validation is that of
ctc_cross_entropy, on the original texts: it needs no teacher, and losses compare whatever the weights.

Source: Kim and Rush 2016, Sequence-Level Knowledge Distillation (arXiv:1606.07947), sections 3.1 and 3.2; the temperature:
Hinton et al. 2015 (arXiv:1503.02531), section 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from fairseq.criterions import register_criterion
from torch import Tensor

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropy, CTCCrossEntropyConfig, label_smoothed_cross_entropy
from speechllm_plugin.criterions.deferred_mean import log_mean, totals
from speechllm_plugin.models.speech_to_text import ModelOutput


@dataclass
class SequenceKDConfig(CTCCrossEntropyConfig):
    """The flags of --criterion sequence_kd."""

    kd_weight: str = field(
        default="0.5",
        metadata={
            "help": "share of the teacher's text in the loss, from 0 to 1; or update:share points, linear between them and constant "
            "outside, as in 0:0,10000:0.8"
        },
    )
    kd_label_smoothing: Optional[float] = field(
        default=None, metadata={"help": "label smoothing of the teacher's text; as --label-smoothing if not given"}
    )
    word_kd_weight: float = field(
        default=0.0, metadata={"help": "share of the teacher's word probabilities, from 0 to 1, in the loss of the original text"}
    )
    word_kd_temperature: float = field(
        default=1.0, metadata={"help": "divides the logits of both in --word-kd-weight; above 1 the teacher's second-best words count more"}
    )
    word_kd_cache: Optional[str] = field(
        default=None,
        metadata={"help": "folder of the teacher's word probabilities, in it one per training split, from speechllm distill --word-level"},
    )


@register_criterion("sequence_kd", dataclass=SequenceKDConfig)
class SequenceKD(CTCCrossEntropy):
    """The loss described above.

    Attributes:
        needs_kd_text: whether batches must have a teacher's texts; the task asks for it.
        word_kd_cache: folder of the teacher's word probabilities, or None; the task asks for it.
    """

    def __init__(
        self,
        task: Any,
        label_smoothing: float,
        ctc_weight: float,
        sentence_avg: bool,
        kd_weight: str,
        kd_label_smoothing: float | None,
        word_kd_weight: float,
        word_kd_temperature: float,
        word_kd_cache: str | None,
    ):
        super().__init__(task, label_smoothing, ctc_weight, sentence_avg)
        self.schedule = parse_schedule(kd_weight)
        self.needs_kd_text = any(share > 0 for _, share in self.schedule)
        check(self.schedule, kd_label_smoothing, word_kd_weight, word_kd_temperature, word_kd_cache)
        self.kd_label_smoothing = label_smoothing if kd_label_smoothing is None else kd_label_smoothing
        self.word_kd_weight, self.word_kd_temperature, self.word_kd_cache = word_kd_weight, word_kd_temperature, word_kd_cache
        self.num_updates = 0

    def set_num_updates(self, num_updates: int) -> None:
        self.num_updates = num_updates

    def text_loss(self, output: ModelOutput, sample: dict[str, Any], is_training: bool) -> tuple[Tensor, float, dict[str, Any]]:
        loss, num_tokens, log = super().text_loss(output, sample, is_training)
        if not is_training:
            return loss, num_tokens, log
        if self.word_kd_weight:
            divergence = self.word_divergence(output, sample)
            loss = (1 - self.word_kd_weight) * loss + self.word_kd_weight * divergence
            log["word_kd_loss"] = divergence.detach()
        if not self.needs_kd_text:
            return loss, num_tokens, log
        if output.kd_logits is None:
            raise ValueError("sequence_kd needs a teacher's texts, but the batch has none: the manifest must have kd_text")
        kd_target = sample["kd_target"]
        kd_loss, kd_nll_loss = label_smoothed_cross_entropy(output.kd_logits, kd_target, self.kd_label_smoothing, self.padding_idx)
        share = scheduled(self.schedule, self.num_updates)
        log["kd_nll_loss"], log["kd_ntokens"], log["kd_weight"] = kd_nll_loss.detach(), sample["kd_ntokens"], share * sample["nsentences"]
        return (1 - share) * loss + share * kd_loss, (1 - share) * num_tokens + share * sample["kd_ntokens"], log

    def word_divergence(self, output: ModelOutput, sample: dict[str, Any]) -> Tensor:
        """The divergence from the teacher's word probabilities, summed over all tokens of the original text."""
        if "teacher_ids" not in sample:
            raise ValueError("--word-kd-weight needs a teacher's word probabilities, but the batch has none: give --word-kd-cache")
        ids, probabilities = sample["teacher_ids"], sample["teacher_probabilities"]
        return top_k_divergence(output.logits, ids, probabilities, sample["target"] != self.padding_idx, self.word_kd_temperature)

    @classmethod
    def reduce_metrics(cls, logging_outputs: Sequence[dict[str, Any]]) -> None:
        """The metrics of ctc_cross_entropy, with nll_loss that of the original text; losses in bits per token of their text."""
        super().reduce_metrics(logging_outputs)
        total = totals(logging_outputs)
        if "kd_nll_loss" in total:
            log_mean("kd_nll_loss", total["kd_nll_loss"] / total["kd_ntokens"] / math.log(2), total["kd_ntokens"], round=3)
            log_mean("kd_weight", total["kd_weight"] / total["nsentences"], total["nsentences"], round=3)
        if "word_kd_loss" in total:
            log_mean("word_kd_loss", total["word_kd_loss"] / total["ntokens"] / math.log(2), total["ntokens"], round=3)


def top_k_divergence(logits: Tensor, ids: Tensor, probabilities: Tensor, real: Tensor, temperature: float) -> Tensor:
    """The sum over the positions of temperature^2 * KL(teacher, student), where both have their logits divided by the temperature.

    The teacher is known by its k most probable ids, and is taken for certain that it is one of them: what they lack to 1 is spread
    over them in proportion. With k the size of the vocabulary nothing is lacking.

    Args:
        logits: (B, U, V) of the student.
        ids, probabilities: (B, U, k) of the teacher; anything where `real` (B, U) is not.
    """
    teacher = probabilities.float() ** (1 / temperature)
    teacher = teacher / teacher.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    logits = logits.float() / temperature
    student = logits.gather(-1, ids.long()) - logits.logsumexp(-1, keepdim=True)
    divergence = (torch.special.xlogy(teacher, teacher) - teacher * student).sum(-1)
    return temperature**2 * (divergence * real).sum()


def check(
    schedule: list[tuple[int, float]],
    kd_label_smoothing: float | None,
    word_kd_weight: float,
    word_kd_temperature: float,
    word_kd_cache: str | None,
) -> None:
    """Raise ValueError for flags that contradict each other or would do nothing."""
    shares = [share for _, share in schedule]
    if kd_label_smoothing is not None and not 0 <= kd_label_smoothing < 1:
        raise ValueError(f"--kd-label-smoothing must be at least 0 and below 1, but is {kd_label_smoothing}")
    if kd_label_smoothing is not None and max(shares) == 0:
        raise ValueError(f"--kd-label-smoothing {kd_label_smoothing} is of the teacher's text, which --kd-weight 0 leaves out: remove it")
    if not 0 <= word_kd_weight <= 1:
        raise ValueError(f"--word-kd-weight must be from 0 to 1, but is {word_kd_weight}")
    if word_kd_weight and word_kd_cache is None:
        raise ValueError(f"--word-kd-weight {word_kd_weight} needs the teacher's probabilities: give --word-kd-cache")
    if word_kd_weight and min(shares) == 1:
        raise ValueError(f"--word-kd-weight {word_kd_weight} is a share of the original text's loss, which --kd-weight 1 leaves out")
    if word_kd_cache is not None and not word_kd_weight:
        raise ValueError(f"--word-kd-cache {word_kd_cache} is used with --word-kd-weight only: give a weight above 0, or remove it")
    if not word_kd_temperature > 0:
        raise ValueError(f"--word-kd-temperature must be above 0, but is {word_kd_temperature}")
    if word_kd_temperature != 1 and not word_kd_weight:
        raise ValueError(f"--word-kd-temperature {word_kd_temperature} needs --word-kd-weight: give a weight above 0, or remove it")


def parse_schedule(text: str) -> list[tuple[int, float]]:
    """The (update, share) points of a schedule: [(0, 0.5)] of `0.5`, [(0, 0.0), (10000, 0.8)] of `0:0,10000:0.8`.

    Raises:
        ValueError: this is not such a text, an update does not come after the one before, or a share is not from 0 to 1.
    """
    try:
        pairs = [point.split(":") for point in (text if ":" in text else f"0:{text}").split(",")]
        points = [(int(update), float(share)) for update, share in pairs]
    except ValueError as error:
        raise ValueError(f"--kd-weight must be a number, or update:share points as in 0:0,10000:0.8, but is {text!r}") from error
    updates, shares = zip(*points)
    if any(later <= earlier for earlier, later in zip(updates, updates[1:])) or updates[0] < 0:
        raise ValueError(f"--kd-weight must name updates in growing order, as in 0:0,10000:0.8, but is {text!r}")
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"--kd-weight must be from 0 to 1, but is {text!r}")
    return points


def scheduled(points: list[tuple[int, float]], update: float) -> float:
    """The share at an update: linear between the points, constant before the first and after the last."""
    for (start, share), (end, next_share) in zip(points, points[1:]):
        if update < end:
            return share + (next_share - share) * max(update - start, 0) / (end - start)
    return points[-1][1]
