"""When the words of a text are said: from the CTC head where it writes the same language, else from the attention to the speech.

Shapes: B windows   W labels   S speech states.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechllm_plugin.data.features import SHIFT_SAMPLES
from speechllm_plugin.generation.monotonic_alignment import label_spans
from speechllm_plugin.generation.speech_alignment import over_states
from speechllm_plugin.tasks.text_codec import TextCodec
from speechllm_plugin.transcription.transcript import Word

QUIET_SHARE = 10**-2.5  # of the loudest moment's energy

WordStates = list[tuple[str, int, int]]  # word, first state, state after its last


def by_ctc(ctc: Any, codec: TextCodec, texts: Sequence[str]) -> list[WordStates]:
    """The words of every text with their states, by the best path of CTC that says the text.

    Args:
        ctc: CTCOutput of the windows.
        codec: of the CTC head's labels.
    """
    encoded = [torch.from_numpy(codec.encode(text, end=[])) for text in texts]
    labels = pad_sequence(encoded, batch_first=True).to(ctc.logits.device)  # (B, W)
    log_probs = ctc.logits.float().log_softmax(-1)
    scores = log_probs.gather(2, labels[:, None].expand(-1, log_probs.size(1), -1)).transpose(1, 2)  # (B, W, S)
    is_repeated = torch.nn.functional.pad(labels[:, 1:] == labels[:, :-1], (1, 0), value=False)
    spans = label_spans(scores, log_probs[..., -1], ctc.lengths, lengths_of(encoded, labels.device), is_repeated)
    return [words_of(codec, ids.tolist(), each) for ids, each in zip(encoded, spans.tolist())]


def by_attention(model: Any, speech: Any, lengths: Tensor, codec: TextCodec, tokens: Sequence[Tensor], num_tags: int) -> list[WordStates]:
    """The words of every text with their states, by the path on which the decoder's last layer attends to the speech most.

    A state counts for a token by what it has more than its even share of the attention.

    Args:
        speech: SpeechStates of the windows.
        lengths: (B,) speech states of each window before compression.
        codec: of the decoder's tokens.
        tokens: per window the tokens of its text, the end of sentence last.
        num_tags: tokens at the start of each that are not said.
    """
    eos, pad = codec.dictionary.eos(), codec.dictionary.pad()
    device = speech.states.device
    texts = pad_sequence(list(tokens), batch_first=True, padding_value=pad)
    previous = torch.nn.functional.pad(texts[:, :-1], (1, 0), value=eos).to(device)
    weights = model.decoder.attention_to_speech(previous, speech, len(model.decoder.layers) - 1)
    weights = over_states(weights.float(), speech.segments)[:, num_tags:]  # (B, U, S)
    said = [text[num_tags:-1] for text in tokens]
    scores = weights - 1 / lengths[:, None, None]
    spans = label_spans(scores, torch.zeros_like(scores[:, 0]), lengths, lengths_of(said, device))
    return [words_of(codec, ids.tolist(), each) for ids, each in zip(said, spans.tolist())]


def lengths_of(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    return torch.tensor([len(row) for row in rows], device=device)


def words_of(codec: TextCodec, ids: Sequence[int], spans: Sequence[Sequence[int]]) -> WordStates:
    """The words of a text of these ids, each from the first state of its first id to the last of its last."""
    words = codec.decode(list(ids)).split()
    found: dict[int, tuple[int, int]] = {}
    for number, (start, end) in enumerate(spans[: len(ids)]):
        word = max(0, len(codec.decode(list(ids[: number + 1])).split()) - 1)
        found[word] = (found.get(word, (start, end))[0], end)
    return [(text, *found[number]) for number, text in enumerate(words) if number in found]


def until_quiet(words: Sequence[Word], waveform: np.ndarray, sample_rate: int) -> tuple[Word, ...]:
    """The words, each up to its last loud moment before the next one begins: CTC and attention tell where a word begins, not where it ends.

    Args:
        words: of a window, with seconds from its start.
        waveform: (num_samples,) of the window.
    """
    starts = [word.start for word in words] + [len(waveform) / sample_rate]
    result = []
    for word, after in zip(words, starts[1:]):
        first, num_samples = int(word.start * sample_rate), int((after - word.start) * sample_rate)
        frames = waveform[first : first + num_samples // SHIFT_SAMPLES * SHIFT_SAMPLES].reshape(-1, SHIFT_SAMPLES)
        energy = np.square(frames).mean(1)
        loud = np.flatnonzero(energy > energy.max(initial=0) * QUIET_SHARE)
        end = word.start + (loud[-1] + 1) * SHIFT_SAMPLES / sample_rate if len(loud) else word.end
        result.append(Word(word.text, word.start, min(max(word.end, end), after)))
    return tuple(result)
