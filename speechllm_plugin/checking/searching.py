"""The beam search finds what it should, and hypotheses carry the tags of their rows."""

import numpy as np
import torch
from fairseq.dataclass.configs import GenerationConfig
from fairseq.sequence_generator import SequenceGenerator

from speechllm_plugin.checking.outcome import Outcome, not_applicable
from speechllm_plugin.data.row_dataset import padded

BEAM, MORE_TOKENS, MAX_TOKENS = 5, 10, 200  # a text may be longer by so many tokens than the longest reference
SCORE_ROUNDING = 1e-4  # nats per token; as large a difference between two hypotheses is a tie that rounding may turn


def batch_or_alone(subject) -> Outcome:
    """The best scores in a batch against those of each utterance alone, and all scores against the log probabilities of the whole texts."""
    generator, deviations, num_others = subject_generator(subject), [], 0
    together = search(subject, generator, range(len(subject.examples)))
    for position, n_best in enumerate(together):
        [alone] = search(subject, generator, [position])
        scores = [float(hypothesis["score"]) for hypothesis in n_best]
        deviations += [abs(scores[0] - float(alone[0]["score"])), *np.abs(scores - mean_log_probabilities(subject, position, n_best))]
        num_others += n_best[0]["tokens"].tolist() != alone[0]["tokens"].tolist()
    note = f"{num_others} of {len(together)} best texts differ" if num_others else ""
    return Outcome(float(np.max(deviations)), SCORE_ROUNDING, note)


def fairseqs_search(subject) -> Outcome:
    """The scores of the n-best lists of both generators."""
    dictionary = subject.task.target_dictionary
    theirs = SequenceGenerator([subject.model], dictionary, beam_size=BEAM, max_len_a=0, max_len_b=max_tokens(subject))
    n_best = [search(subject, generator, subject.few) for generator in (subject_generator(subject), theirs)]
    deviations = [0.0]
    for ours, other in zip(*n_best):
        if len(ours) != len(other):
            return Outcome(float("inf"), SCORE_ROUNDING, f"{len(ours)} hypotheses instead of {len(other)}")
        deviations += [abs(float(one["score"]) - float(two["score"])) for one, two in zip(ours, other)]
    return Outcome(float(np.max(deviations)), SCORE_ROUNDING)


def tags(subject) -> Outcome:
    """The number of tags that are not where they should be: first in what the decoder reads and in every hypothesis, in no target and no text."""
    task = subject.task
    if not task.data_config.prepend_tgt_lang_tag:
        return not_applicable("the data has no language tags")
    batch, generator = subject.batch(), subject_generator(subject)
    stripped = generator.symbols_to_strip_from_output
    faults = {
        "read by the decoder": (batch["net_input"]["prev_output_tokens"][:, 1] != batch["tag"]).sum().item(),
        "in targets": sum(token in task.target.tags for token in batch["target"].flatten().tolist()),
        "first in hypotheses": 0,
        "in printed texts": 0,
    }
    for tag, hypotheses in zip(batch["tag"].tolist(), search(subject, generator, range(len(subject.examples)))):
        for hypothesis in hypotheses:
            faults["first in hypotheses"] += int(hypothesis["tokens"][0]) != tag
            printed = task.target_dictionary.string(hypothesis["tokens"], extra_symbols_to_ignore=stripped)
            faults["in printed texts"] += "<lang:" in printed
    return Outcome(sum(faults.values()), 0, ", ".join(f"{number} {where}" for where, number in faults.items() if number))


def subject_generator(subject):
    """The plugin's search, as the task builds it."""
    options = GenerationConfig(beam=BEAM, nbest=BEAM, max_len_a=0, max_len_b=max_tokens(subject))
    return subject.task.build_generator([subject.model], options)


def max_tokens(subject) -> int:
    return min(max(len(example.target) for example in subject.examples) + MORE_TOKENS, MAX_TOKENS, subject.model.max_decoder_positions() - 1)


def search(subject, generator, positions) -> list[list[dict]]:
    """N-best lists, with tags forced where the data has some."""
    return subject.task.inference_step(generator, [subject.model], subject.batch(positions))


@torch.no_grad()
def mean_log_probabilities(subject, position: int, n_best) -> np.ndarray:
    """The (K,) mean log probability per token of each text, end of sentence included, by one pass over the whole texts."""
    net_input = subject.batch([position])["net_input"]
    speech = subject.model.encoder(net_input["src_tokens"], net_input["src_lengths"], with_ctc=False)
    states, padding = (tensor.expand(len(n_best), *tensor.shape[1:]) for tensor in (speech.states, speech.padding))
    tokens, lengths = padded([hypothesis["tokens"] for hypothesis in n_best], subject.dataset.pad)
    previous = torch.nn.functional.pad(tokens[:, :-1], (1, 0), value=subject.dataset.eos)
    logits, _ = subject.model.decoder(previous.to(subject.device), encoder_out=type(speech)(states, padding))
    scores = logits.float().log_softmax(-1).cpu().gather(2, tokens[:, :, None])[:, :, 0]
    return (scores.masked_fill(tokens == subject.dataset.pad, 0).sum(1) / lengths).numpy()
