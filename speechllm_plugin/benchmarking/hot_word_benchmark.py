"""What a list of hot words costs a search, and whether an empty one changes anything."""

import itertools
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from speechllm_plugin.benchmarking.transcription_benchmark import read, search_to_length, synchronise
from speechllm_plugin.generation.hot_word_automaton import MARK_OF_BLANK
from speechllm_plugin.transcription.loaded_sound import LoadedSound
from speechllm_plugin.transcription.recordings import Recording
from speechllm_plugin.transcription.speech_model import SpeechModel
from speechllm_plugin.transcription.window_search import TranscriptionOptions

DRAWS_PER_WORD = 10  # some words come twice
NO_LIST, NO_LIST_AGAIN, EMPTY_LIST = "none", "none again", "an empty list"


class HotWordTimes(NamedTuple):
    """Searches over the same windows without a list, without it again, with an empty one, and with words that nobody says.

    seconds: median of each search; on a CPU those of the processor, so that what else it does changes no ratio.
    table_seconds: that the tables of the words took, once.
    same_again, same_empty: whether the n-best lists with their scores are those without a list, bit by bit.
    num_changed: windows whose best text the words change.
    """

    beam: int
    num_words: int
    num_windows: int
    seconds: dict[str, float]
    table_seconds: float
    same_again: bool
    same_empty: bool
    num_changed: int

    @property
    def ratio(self) -> float:
        """Time with the words over that without a list."""
        return self.seconds[words_name(self.num_words)] / self.seconds[NO_LIST]


def measure_hot_words(
    model: SpeechModel, named: Sequence[Recording], options: TranscriptionOptions, num_words: int, repeats: int, num_tokens: int | None
) -> HotWordTimes:
    """The times of `repeats` rounds, in each of which every search has a turn, after one that does not count.

    Args:
        options: with all of the beam in the n-best lists.
        num_tokens: to which every text is searched; None: as long as the search finds them.
    """
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    words = made_up_words(model, num_words)
    searches, table_seconds = {}, 0.0
    for name, hot_words in ((NO_LIST, ()), (NO_LIST_AGAIN, ()), (EMPTY_LIST, []), (words_name(num_words), words)):
        start = time.perf_counter()
        searches[name] = search_to_length(model, replace(options, hot_words=hot_words), num_tokens)
        table_seconds = time.perf_counter() - start  # of the last: the others have none
    sound = LoadedSound(read(model, named), model.device)
    features = model.features(sound, model.windows(sound))
    times: dict[str, list[float]] = {name: [] for name in searches}
    found: dict[str, list[Any]] = {}
    for _ in range(repeats + 1):
        for name, search in searches.items():
            synchronise(model.device)
            start = clock()
            found[name] = search(features)
            synchronise(model.device)
            times[name].append(clock() - start)
    changed = sum(text != other for text, other in zip(best_texts(found[NO_LIST]), best_texts(found[words_name(num_words)])))
    return HotWordTimes(
        options.beam,
        num_words,
        len(features),
        {name: statistics.median(each[1:]) for name, each in times.items()},
        table_seconds,
        found[NO_LIST_AGAIN] == found[NO_LIST],
        found[EMPTY_LIST] == found[NO_LIST],
        changed,
    )


def words_name(num_words: int) -> str:
    return f"{num_words:,} words"


def best_texts(found: Sequence[Any]) -> list[str | None]:
    return [None if each is None else each.n_best[0].text for each in found]


def made_up_words(model: SpeechModel, number: int) -> list[str]:
    """So many different words that the vocabulary can write, each of two to four of its pieces; the same in every run.

    Raises:
        ValueError: the vocabulary is too small for so many.
    """
    dictionary, draw = model.task.target_dictionary, random.Random(1)
    pieces = [piece for symbol in dictionary.symbols[dictionary.nspecial :] if (piece := symbol.removeprefix(MARK_OF_BLANK)).isalpha()]
    drawn = ("".join(draw.choices(pieces, k=draw.randint(2, 4))) for _ in range(DRAWS_PER_WORD * number * bool(pieces)))
    found = list(itertools.islice(dict.fromkeys(drawn), number))
    if len(found) < number:
        raise ValueError(
            f"--hot-words {number}: of the {len(pieces)} pieces of letters in the vocabulary {len(found)} words were made: ask for fewer"
        )
    return found
