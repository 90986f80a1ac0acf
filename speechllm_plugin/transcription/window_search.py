"""Windows of speech in batches: silence told from speech, n-best lists, and the times of words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS
from speechllm_plugin.generation.beam_search import BeamSearch
from speechllm_plugin.models.captured_encoder import capture_encoder
from speechllm_plugin.models.ctc import greedy_labels
from speechllm_plugin.models.speech_encoder import SpeechStates
from speechllm_plugin.models.speech_to_text import SpeechToTextModel
from speechllm_plugin.tasks.hot_word_decoding import favour
from speechllm_plugin.tasks.joint_decoding import joint_decoding
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask
from speechllm_plugin.transcription import word_times
from speechllm_plugin.transcription.transcript import ScoredText, Word

# Frames of a batch with its padding: on a CPU as the recipes decode; on a GPU so many per GiB of its memory, up to where it is busy.
CPU_FRAMES, GPU_FRAMES_PER_GIB, MOST_GPU_FRAMES = 20_000, 4_000, 320_000
# How the recipes decode, too.
NO_REPEAT_NGRAM_SIZE, UNK_PENALTY = 5, 10_000.0


@dataclass(frozen=True)
class TranscriptionOptions:
    """What a user can choose.

    language: of the text, for models with several; None where there is one.
    beam: hypotheses that the search keeps.
    n_best: texts of each n-best list, at most `beam`.
    ctc_decoding_weight: of the CTC head's opinion of a text, below 1; for recognition.
    word_timestamps: whether words get their times.
    hot_words: words or phrases that the search favours.
    hot_word_bonus: of each of their characters, to the log probability; None is the default of fairseq-generate.
    """

    language: str | None = None
    beam: int = 5
    n_best: int = 1
    ctc_decoding_weight: float = 0.0
    word_timestamps: bool = False
    hot_words: Sequence[str] = ()
    hot_word_bonus: float | None = None

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ValueError(f"--beam must be positive, but is {self.beam}")
        if not 1 <= self.n_best <= self.beam:
            raise ValueError(f"--n-best must be between 1 and --beam ({self.beam}), but is {self.n_best}")
        if isinstance(self.hot_words, str):
            raise ValueError(f"hot_words must be a list of words, but is {self.hot_words!r}: put the one that you have in brackets")


@dataclass(frozen=True)
class WindowText:
    """The n-best list of a window, the tokens of each hypothesis, and the words of the best with seconds from the window's start."""

    n_best: tuple[ScoredText, ...]
    num_tokens: tuple[int, ...]
    words: tuple[Word, ...] = ()


class WindowSearch:
    """The search of one call, over a model and its task.

    Args:
        tag: token of the language that texts begin with, if the model wants one.
        align_by_ctc: words get their times from the CTC head, not from attention.

    Raises:
        ValueError: the options do not go with the model.
    """

    def __init__(self, model: SpeechToTextModel, task: SpeechLLMSpeechToTextTask, options: TranscriptionOptions, tag: int | None, align_by_ctc: bool):
        self.model, self.task, self.options, self.tag, self.align_by_ctc = model, task, options, tag, align_by_ctc
        self.device = next(model.parameters()).device
        self.blank = model.encoder.num_labels - 1
        task.check_beam(options.beam)
        capture_encoder(model)
        dictionary = task.target_dictionary
        self.search = BeamSearch(
            [model],
            pad=dictionary.pad(),
            eos=dictionary.eos(),
            unk=dictionary.unk(),
            vocab_size=len(dictionary),
            beam_size=options.beam,
            unk_penalty=UNK_PENALTY,
            no_repeat_ngram_size=NO_REPEAT_NGRAM_SIZE,
            symbols_to_strip_from_output=task.target.tags,
            joint=joint_decoding(options.ctc_decoding_weight, [model], task.target, task.transcript, []),
            hot_words=favour(options.hot_words, options.hot_word_bonus, task.target),
        )

    def __call__(self, features: Sequence[Tensor]) -> list[WindowText | None]:
        """Per window of (T, 80) features, on the model's device, its texts; None where nobody speaks, by the CTC head: all its states are blank."""
        results: list[WindowText | None] = [None] * len(features)
        for rows in batches([len(each) for each in features], frames_at_once(self.device)):
            for row, result in zip(rows, self.of_batch([features[row] for row in rows])):
                results[row] = result
        return results

    @torch.no_grad()
    def of_batch(self, features: Sequence[Tensor]) -> list[WindowText | None]:
        lengths = torch.tensor([len(each) for each in features], device=self.device)
        padded = pad_sequence(list(features), batch_first=True)  # (B, T, 80)
        speech = self.model.encoder(padded, lengths, with_ctc=self.model.encoder.ctc_head is not None)
        spoken = self.spoken(speech)
        results: list[WindowText | None] = [None] * len(features)
        if 0 < len(spoken) < len(features):  # else nothing need be copied
            rows = torch.tensor(spoken, device=self.device)
            padded, lengths, speech = padded[rows], lengths[rows], selected(speech, rows)
        if spoken:
            for row, result in zip(spoken, self.texts(padded, lengths, speech)):
                results[row] = result
        return results

    def spoken(self, speech: SpeechStates) -> list[int]:
        """The windows in which the CTC head hears something, or all of them without a head."""
        if speech.ctc is None:
            return list(range(len(speech.states)))
        labels = greedy_labels(speech.ctc.logits, speech.ctc.lengths, self.blank)
        return (labels >= 0).any(1).nonzero()[:, 0].tolist()

    def texts(self, features: Tensor, lengths: Tensor, speech: SpeechStates) -> list[WindowText]:
        """The texts of windows in which somebody speaks."""
        prefix = None if self.tag is None else torch.full_like(lengths, self.tag)[:, None]
        sample = {"net_input": {"src_tokens": features, "src_lengths": lengths}}
        n_best = [hypotheses[: self.options.n_best] for hypotheses in self.search.generate([], sample, prefix, speech=[speech])]
        texts = [[self.text(hypothesis["tokens"].tolist()) for hypothesis in hypotheses] for hypotheses in n_best]
        words = self.words([of_window[0] for of_window in texts], [hypotheses[0]["tokens"] for hypotheses in n_best], lengths, speech)
        return [
            WindowText(
                tuple(ScoredText(text, hypothesis["score"].item()) for text, hypothesis in zip(of_window, hypotheses)),
                tuple(len(hypothesis["tokens"]) for hypothesis in hypotheses),
                tuple(Word(text, start * self.state_seconds, end * self.state_seconds) for text, start, end in of_words),
            )
            for of_window, hypotheses, of_words in zip(texts, n_best, words)
        ]

    def text(self, tokens: Sequence[int]) -> str:
        return self.task.target.decode([token for token in tokens if token not in self.search.symbols_to_strip_from_output])

    def words(self, texts: Sequence[str], tokens: Sequence[Tensor], lengths: Tensor, speech: SpeechStates) -> list[word_times.WordStates]:
        if not self.options.word_timestamps:
            return [[] for _ in texts]
        if self.align_by_ctc:
            assert self.task.transcript is not None
            return word_times.by_ctc(speech.ctc, self.task.transcript, texts)
        num_states = self.model.encoder.subsampling.num_states(lengths)
        return word_times.by_attention(self.model, speech, num_states, self.task.target, tokens, num_tags=int(self.tag is not None))

    @property
    def state_seconds(self) -> float:
        return self.model.encoder.frames_per_state * FRAME_SHIFT_SECONDS


def frames_at_once(device: torch.device) -> int:
    """Frames of a batch with its padding."""
    if device.type == "cpu":
        return CPU_FRAMES
    return min(MOST_GPU_FRAMES, torch.cuda.get_device_properties(device).total_memory * GPU_FRAMES_PER_GIB >> 30)


def batches(num_frames: Sequence[int], frames_at_once: int) -> Iterator[list[int]]:
    """Rows of similar length, the longest first, in batches that have at most so many frames with their padding, but a row at least."""
    order = sorted(range(len(num_frames)), key=lambda row: -num_frames[row])
    while order:
        size = max(1, frames_at_once // num_frames[order[0]])
        yield order[:size]
        order = order[size:]


def selected(speech: SpeechStates, rows: Tensor) -> SpeechStates:
    """The speech of some rows of a batch."""
    ctc = speech.ctc and speech.ctc._replace(
        logits=speech.ctc.logits[rows],
        lengths=speech.ctc.lengths[rows],
        compressed_lengths=None if speech.ctc.compressed_lengths is None else speech.ctc.compressed_lengths[rows],
    )
    segments = speech.segments and type(speech.segments)(*(each[rows] for each in speech.segments))
    return SpeechStates(speech.states[rows], speech.padding[rows], ctc, segments)
