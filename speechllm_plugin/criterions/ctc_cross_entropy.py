"""Label-smoothed cross-entropy of the text and, where the model has a CTC head, CTC of the transcript."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import editdistance
import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from omegaconf import II
from torch import Tensor
from torch.nn.functional import ctc_loss, log_softmax

from speechllm_plugin.criterions.deferred_mean import log_mean, totals
from speechllm_plugin.models import kernels
from speechllm_plugin.models.ctc import CTCOutput, greedy_labels, states_needed
from speechllm_plugin.models.speech_to_text import ModelOutput


@dataclass
class CTCCrossEntropyConfig(FairseqDataclass):
    """The flags of --criterion ctc_cross_entropy."""

    label_smoothing: float = field(default=0.1, metadata={"help": "probability spread over the whole vocabulary; 0 = none"})
    ctc_weight: float = field(default=0.5, metadata={"help": "factor of the CTC loss; the cross-entropy's is 1"})
    sentence_avg: bool = II("optimization.sentence_avg")


@register_criterion("ctc_cross_entropy", dataclass=CTCCrossEntropyConfig)
class CTCCrossEntropy(FairseqCriterion):
    """The cross-entropy of the text plus --ctc-weight times the CTC loss.

    Both losses are sums over the batch and are divided by the number of target tokens, with and without CTC.
    """

    def __init__(self, task: Any, label_smoothing: float, ctc_weight: float, sentence_avg: bool):
        super().__init__(task)
        self.label_smoothing, self.ctc_weight, self.sentence_avg = label_smoothing, ctc_weight, sentence_avg

    def forward(self, model: Any, sample: dict[str, Any]) -> tuple[Tensor, float, dict[str, Any]]:
        """The loss of a batch, its denominator, and what to log: sums, as tensors where they come from the device."""
        output = model(**sample["net_input"])
        loss, num_tokens, log = self.text_loss(output, sample, model.training)
        sample_size = sample["nsentences"] if self.sentence_avg else num_tokens
        log |= {name: sample[name] for name in ("ntokens", "nsentences", "nframes")}
        log["sample_size"] = sample_size
        if output.ctc is not None:
            ctc = self.ctc_loss(output.ctc, sample)
            loss = loss + self.ctc_weight * ctc
            log["ctc_loss"] = ctc.detach()
            impossible = states_needed(sample["transcript"], self.padding_idx) > output.ctc.lengths  # (B,)
            log["ctc_impossible"] = impossible.sum()
            log["ctc_ntokens"] = ((sample["target"] != self.padding_idx) & ~impossible[:, None]).sum()
            if output.ctc.compressed_lengths is not None:
                log["ctc_states"], log["compressed_states"] = output.ctc.lengths.sum(), output.ctc.compressed_lengths.sum()
        if not model.training:
            real = sample["target"] != self.padding_idx
            log["correct_tokens"] = ((output.logits.argmax(-1) == sample["target"]) & real).sum()
            if output.ctc is not None:
                log["ctc_errors"], log["ctc_words"] = self.ctc_word_errors(output.ctc, sample)
        log["loss"] = loss.detach()
        return loss, sample_size, log

    def text_loss(self, output: ModelOutput, sample: dict[str, Any], is_training: bool) -> tuple[Tensor, float, dict[str, Any]]:
        """The loss of the text, summed over all tokens, how many these are, and what to log of it."""
        loss, nll_loss = label_smoothed_cross_entropy(output.logits, sample["target"], self.label_smoothing, self.padding_idx)
        return loss, sample["ntokens"], {"nll_loss": nll_loss.detach()}

    def ctc_loss(self, ctc: CTCOutput, sample: dict[str, Any]) -> Tensor:
        """The CTC loss, summed over the batch. An utterance with fewer states than CTC needs for its transcript adds nothing."""
        if "transcript" not in sample:
            raise ValueError("CTC needs transcripts, but the batch has none: the manifest must have src_text")
        numbers, blank = (sample["transcript"], ctc.lengths, sample["transcript_lengths"]), ctc.logits.size(-1) - 1
        if kernels.for_training(ctc.logits):
            return kernels.ctc_loss(ctc.logits, *numbers, blank)
        log_probabilities = log_softmax(ctc.logits, dim=-1, dtype=torch.float32).transpose(0, 1)  # (S, B, V + 1)
        return ctc_loss(log_probabilities, *numbers, blank=blank, reduction="sum", zero_infinity=True)  # on a GPU the host waits

    def ctc_word_errors(self, ctc: CTCOutput, sample: dict[str, Any]) -> tuple[int, int]:
        """Word edits of the greedy CTC labels against the transcripts, and the number of words in these."""
        errors = words = 0
        hypotheses = greedy_labels(ctc.logits, ctc.lengths, blank=ctc.logits.size(-1) - 1).tolist()
        for hypothesis, transcript, length in zip(hypotheses, sample["transcript"].tolist(), sample["transcript_lengths"].tolist()):
            reference = self.task.transcript_text(transcript[:length]).split()
            errors += editdistance.eval(self.task.transcript_text([label for label in hypothesis if label >= 0]).split(), reference)
            words += len(reference)
        return errors, words

    @classmethod
    def reduce_metrics(cls, logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Losses in bits per target token; accuracy and ctc_wer in percent; compression_rate in states before for one after compression.

        Utterances whose transcript CTC cannot emit add nothing to ctc_loss, nor do their tokens count there; ctc_impossible is their percentage.
        """
        total = totals(logging_outputs)
        log = metrics.log_scalar if "correct_tokens" in total else log_mean  # a training waits for no value
        log("loss", total["loss"] / total["sample_size"] / math.log(2), total["sample_size"], round=3)
        log("nll_loss", total["nll_loss"] / total["ntokens"] / math.log(2), total["ntokens"], round=3)
        if "ctc_loss" in total:
            ctc_tokens = torch.as_tensor(total["ctc_ntokens"])
            log("ctc_loss", total["ctc_loss"] / ctc_tokens.clamp(min=1) / math.log(2), ctc_tokens, round=3)
            log("ctc_impossible", 100 * total["ctc_impossible"] / total["nsentences"], total["nsentences"], round=2)
        if "correct_tokens" in total:
            log("accuracy", 100 * total["correct_tokens"] / total["ntokens"], total["ntokens"], round=2)
        if total.get("ctc_words"):
            log("ctc_wer", 100 * total["ctc_errors"] / total["ctc_words"], total["ctc_words"], round=2)
        if "compressed_states" in total:
            rate = total["ctc_states"] / total["compressed_states"]
            log("compression_rate", rate, total["compressed_states"], round=2)
        metrics.log_speed("frames_per_second", total["nframes"], round=0)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True


def label_smoothed_cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float, pad: int) -> tuple[Tensor, Tensor]:
    """The smoothed and the plain cross-entropy, summed over all target tokens as fairseq does, without ever storing log-probabilities.

    Args:
        logits: (B, U, V).
        target: (B, U), `pad` where there is none.

    Returns:
        (1 - e - e') nll + e' * sum over the vocabulary, with e' = e / (V - 1), and the unsmoothed nll.
    """
    vocabulary_size = logits.size(-1)
    each = label_smoothing / (vocabulary_size - 1)
    if kernels.for_training(logits):
        return kernels.smoothed_loss(logits, target, 1 - label_smoothing - each, each, pad)
    logits, real = logits.float(), target != pad
    normaliser = logits.logsumexp(-1)
    nll_loss = ((normaliser - logits.gather(-1, target[..., None]).squeeze(-1)) * real).sum()
    if not label_smoothing:
        return nll_loss, nll_loss
    smooth_loss = ((vocabulary_size * normaliser - logits.sum(-1)) * real).sum()
    return (1 - label_smoothing - each) * nll_loss + each * smooth_loss, nll_loss
