"""A split's source texts on their way through a pretrained translation model into a KD file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tqdm import tqdm

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation import kd_file
from speechllm_plugin.distillation.ctranslate2_teacher import CTranslate2Teacher, Search, Source
from speechllm_plugin.text.listing import first_few


def check_rows(path, rows: Sequence[Utterance], given: Mapping[str, str | None]) -> None:
    """Check that all rows can be translated: there is a text, and something says from what into what.

    Args:
        path: of the manifest, for the message.
        given: src_lang and tgt_lang -> the model's code that the user gave in place of the rows', or None.

    Raises:
        ValueError: a text or a language is missing, both languages are the same, or a given code would stand for several languages.
    """
    for column in ("src_text", "src_lang", "tgt_lang"):
        empty = [row.id for row in rows if not getattr(row, column).strip()]
        if empty:
            raise ValueError(f"{path}: {column} must be filled in, but is empty in {len(empty)} of {len(rows)} rows: {first_few(empty)}")
    same = [row.id for row in rows if row.src_lang == row.tgt_lang]
    if same:
        raise ValueError(
            f"{path}: tgt_lang must differ from src_lang, but does not in {len(same)} of {len(rows)} rows: {first_few(same)}; "
            "give the data of a translation task"
        )
    for (column, code), flag in zip(given.items(), ("--source-code", "--target-code")):
        languages = sorted({getattr(row, column) for row in rows})
        if code is not None and len(languages) > 1:
            raise ValueError(f"{flag} {code} would stand for all rows, but {path} has {column} {' '.join(languages)}; leave it out")


def translate(teacher: CTranslate2Teacher, sources: Sequence[Source], search: Search, max_tokens: int, path, description: dict) -> int:
    """Translate the sources that a KD file lacks into it; returns how many it had before.

    Args:
        max_tokens: source tokens of a batch, with padding.
        path: the KD file; an unfinished one is gone on with.
        description: of `kd_file.describe`.

    Raises:
        ValueError: the KD file was begun otherwise, or the device fails.
    """
    with kd_file.Writer(path, description) as writer:
        num_before = len(writer.done)
        todo = [source for source in sources if source.row.id not in writer.done]
        with tqdm(desc=description["split"], total=len(sources), initial=num_before, unit="row") as progress:
            for block in teacher.translate(batches(todo, max_tokens), search):
                writer.write(block)
                progress.update(len(block))
    return num_before


def batches(sources: Iterable[Source], max_tokens: int) -> Iterator[list[Source]]:
    """Lists of sources, the longest first, so that the most memory is taken at the start.

    Number x longest is at most max_tokens, except that a longer source stands alone.
    """
    batch: list[Source] = []
    for source in sorted(sources, key=lambda source: -len(source.ids)):
        if batch and (len(batch) + 1) * len(batch[0].ids) > max_tokens:
            yield batch
            batch = []
        batch.append(source)
    if batch:
        yield batch
