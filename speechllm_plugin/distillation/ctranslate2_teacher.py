"""A pretrained translation model that CTranslate2 runs: source texts in, hypotheses with scores out."""

import collections
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation import conversion
from speechllm_plugin.distillation.model_families import ModelLanguages
from speechllm_plugin.text.listing import first_few

COMPUTE_TYPES = ("float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16")
TOKENIZED_AT_ONCE = 1000
BATCHES_WAITING = 2  # per GPU: one is translated, the next is ready
# A part of CTranslate2's message: what to do.
HINTS = {
    "out of memory": "; lower --max-tokens",
    "libcublas": "; CTranslate2 needs it besides torch's: pip install nvidia-cublas-cu12, LD_LIBRARY_PATH=...nvidia/cublas/lib",
}


class Source(NamedTuple):
    """A row with its source as token ids, language tags included, and the tokens that its translation begins with."""

    row: Utterance
    ids: np.ndarray
    prefix: list[str]


class Search(NamedTuple):
    """The options of a beam search.

    beam: hypotheses in the search; 1 is greedy.
    kbest: hypotheses to return, at most beam.
    max_length: tokens of a translation at most.
    length_penalty: the search compares log-probabilities divided by length to this power.
    """

    beam: int
    kbest: int
    max_length: int
    length_penalty: float


class CTranslate2Teacher:
    """A translation model, which is converted for CTranslate2 on first use.

    Args:
        model: folder or name on the Hugging Face Hub.
        cache: folder of converted models.
        gpus: how many to use, from the first; 0 is the CPU, with OMP_NUM_THREADS threads.
        compute_type: of COMPUTE_TYPES; None is float16 on a GPU and float32 on the CPU.
        languages: source_code, target_code and source_prefix of ModelLanguages.

    Attributes:
        name: model, its version and the compute type.
        num_cut_off: hypotheses so far that reached the maximal length without an end.

    Raises:
        ValueError: the extra is not installed, the model is not as it should be, or the device cannot do it.
    """

    def __init__(self, model: str, *, cache, gpus: int = 0, compute_type: str | None = None, **languages):
        ctranslate2, transformers = conversion.libraries()
        compute_type = compute_type or ("float16" if gpus else "float32")
        device = "cuda" if gpus else "cpu"
        if gpus > ctranslate2.get_cuda_device_count():
            raise ValueError(f"--gpus must be at most the number of visible GPUs ({ctranslate2.get_cuda_device_count()}), but is {gpus}")
        supported = ctranslate2.get_supported_compute_types(device)
        if compute_type not in supported:
            raise ValueError(f"--compute-type must be of {' '.join(sorted(supported))} on this {device}, but is {compute_type}")
        config = conversion.read_config(model)
        self.name = f"{model} {conversion.fingerprint(model, config)} {compute_type}"
        self.max_positions = getattr(config, "max_position_embeddings", None)
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        except Exception as error:  # what lacking files make the libraries raise has no common class
            reason = conversion.one_line(error)
            raise ValueError(f"--model: the tokenizer of {model} cannot be read ({reason}); copy all of its files") from error
        start = _forced_start(transformers, model, config)
        forced_start = None if start is None else self.tokenizer.convert_ids_to_tokens(start)
        self.languages = ModelLanguages(config.model_type, self.tokenizer, forced_start, **languages)
        self.end = self.tokenizer.eos_token
        self.special = set(self.tokenizer.all_special_tokens) | set(self.languages.tokens.values())
        self.num_cut_off = 0
        self.model, self.config, self.cache, self.gpus, self.compute_type, self.device = model, config, cache, gpus, compute_type, device

    def encode(self, rows: Sequence[Utterance]) -> list[Source]:
        """The sources of rows, in order.

        Raises:
            ValueError: the model does not know a language, or a source is longer than it can read.
        """
        of_direction = collections.defaultdict(list)
        for index, row in enumerate(rows):
            of_direction[row.src_lang, row.tgt_lang].append(index)
        directions = {direction: self.languages.direction(*direction) for direction in of_direction}
        sources: list = [None] * len(rows)
        for direction, indices in of_direction.items():
            languages = directions[direction]
            if languages.source is not None:
                self.tokenizer.src_lang = languages.source
            for start in range(0, len(indices), TOKENIZED_AT_ONCE):
                part = indices[start : start + TOKENIZED_AT_ONCE]
                texts = [languages.text + rows[index].src_text for index in part]
                for index, ids in zip(part, self.tokenizer(texts, truncation=False, verbose=False).input_ids):
                    sources[index] = Source(rows[index], np.array(ids, dtype=np.int32), languages.prefix)
        too_long = [source.row.id for source in sources if len(source.ids) > (self.max_positions or len(source.ids))]
        if too_long:
            raise ValueError(
                f"src_text must have at most {self.max_positions} tokens for this model, but has more in {len(too_long)} rows: "
                f"{first_few(too_long)}; shorten or remove them"
            )
        return sources

    def load(self) -> None:
        """Convert the model if that is still to be done, and load it.

        Raises:
            ValueError: its files cannot be converted, or the device fails.
        """
        ctranslate2, _ = conversion.libraries()
        folder = conversion.converted(self.model, self.config, self.compute_type, self.cache)
        try:
            self.translator = ctranslate2.Translator(
                str(folder),
                device=self.device,
                device_index=list(range(self.gpus)) or 0,
                compute_type=self.compute_type,
                max_queued_batches=-1,
            )
        except RuntimeError as error:
            raise ValueError(f"{folder} cannot be loaded ({conversion.one_line(error)}); if it is damaged, remove it") from error

    def check_length(self, max_length: int) -> None:
        """Raise ValueError if translations cannot be that long, with a language's tag before them."""
        if self.max_positions is not None and max_length >= self.max_positions:
            raise ValueError(f"--max-length must be below the model's number of positions ({self.max_positions}), but is {max_length}")

    def translate(self, batches: Iterable[Sequence[Source]], search: Search) -> Iterator[list[tuple[Utterance, list[tuple[float, str]]]]]:
        """The rows of every batch with their hypotheses (score, text), the best of the search first.

        The score is the mean log-probability per token in base 2.

        The mean counts the end of the sentence and leaves out the prefix, which nothing decides about. No translation is empty, as in
        fairseq: at its first token the probability of the end goes to the others.

        Raises:
            ValueError: the device fails.
        """
        try:
            waiting: collections.deque = collections.deque()
            for batch in batches:
                waiting.append((batch, self._submit(batch, search)))
                if len(waiting) >= BATCHES_WAITING * max(self.gpus, 1):
                    yield self._collect(*waiting.popleft(), search)
            while waiting:
                yield self._collect(*waiting.popleft(), search)
        except RuntimeError as error:
            text = conversion.one_line(error)
            hint = next((hint for sign, hint in HINTS.items() if sign in text), "")
            raise ValueError(f"CTranslate2 cannot translate ({text}){hint}") from error

    def _submit(self, batch, search):
        num_prefix = len(batch[0].prefix)  # of a model's sources, all have one or none has
        return self.translator.translate_batch(
            [self.tokenizer.convert_ids_to_tokens(source.ids.tolist()) for source in batch],
            target_prefix=[source.prefix for source in batch],
            asynchronous=True,
            beam_size=search.beam,
            num_hypotheses=search.kbest,
            length_penalty=search.length_penalty,
            min_decoding_length=num_prefix + 1,
            max_decoding_length=num_prefix + search.max_length,
            max_input_length=0,  # nothing is cut: encode() has checked the lengths
            return_scores=True,
            return_end_token=True,
        )

    def _collect(self, batch, results, search):
        translated = []
        for source, result in zip(batch, results, strict=True):
            result = result.result()
            hypotheses = [self._hypothesis(*hypothesis, len(source.prefix), search) for hypothesis in zip(result.hypotheses, result.scores)]
            assert len(hypotheses) == search.kbest, (source.row.id, len(hypotheses))
            translated.append((source.row, hypotheses))
        return translated

    def _hypothesis(self, tokens, score, num_prefix, search):
        """The length in CTranslate2's normalisation counts the prefix and the end; its sum of natural logarithms leaves out the prefix."""
        total = score * len(tokens) ** search.length_penalty
        self.num_cut_off += tokens[-1] != self.end
        text = self.tokenizer.convert_tokens_to_string([token for token in tokens[num_prefix:] if token not in self.special])
        return total / math.log(2) / max(len(tokens) - num_prefix, 1), text.strip()


def _forced_start(transformers, model, config):
    """The id of the token that every translation of a model begins with, as summarisation models have one; None if it has none."""
    try:
        start = transformers.GenerationConfig.from_pretrained(model).forced_bos_token_id
    except OSError:  # older models keep it in their configuration
        start = None
    return getattr(config, "forced_bos_token_id", None) if start is None else start
