"""Fish Fillets NG as Debian's packages lay it out below ROOT: script/LEVEL/*dialogs_LANG.lua and sound/LEVEL/LANG/ID.ogg.

A dialog is `dialogId("ID", "font_SPEAKER", "English")`, in files of other languages followed by `dialogStr("text in LANG")`.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.preparation.readers.sound_header import header_of
from speechllm_plugin.preparation.readers.split_list import rule_of
from speechllm_plugin.text.scripts import letters_by_script

GAME = "usr/share/games/fillets-ng"
SPOKEN = ("cs", "nl")
TRANSLATED = ("en", "de", "sv", "bg", "ru", "pl", "it", "fr", "es", "cs", "nl")  # others have a quarter of the texts at the most
# Folders of sounds whose texts have another name.
TEXTS_OF = {
    "share/blackjokes": ("share/black_dialogs",),
    "share/border": ("share/border_dialogs", "share/shout_dialogs"),
    "share/borejokes": ("share/bore_dialogs",),
}
NOT_RECORDED = "that have no recording"

_STRING = r'"((?:[^"\\]|\\.)*)"'
# A comment, a dialog, or a string in which neither begins. Calls with computed arguments have no texts in the game.
_LUA = re.compile(rf"--[^\n]*|dialogId\(\s*{_STRING}\s*,\s*{_STRING}\s*,\s*{_STRING}\s*\)|dialogStr\(\s*{_STRING}\s*\)|{_STRING}")


class Dialog(NamedTuple):
    """A dialog in one language, and where it stands."""

    place: str
    speaker: str
    text: str


def read(root: str | Path, split: str, source_lang: str, target_lang: str) -> list[CorpusRow]:
    """The rows of a split, level after level in alphabetical order.

    Left out, with the reason: recordings and texts that lack each other, texts with a placeholder, and texts in two scripts.

    Raises:
        FileNotFoundError: the game is not there, or has no recordings in the language.
        ValueError: there is no such split or language, or a file of texts is not as it should be.
    """
    split_of, game = rule_of("fillets", split), Path(root) / GAME
    if source_lang not in SPOKEN or target_lang not in TRANSLATED:
        allowed = f"--source-lang must be {' or '.join(SPOKEN)} and --target-lang of {' '.join(TRANSLATED)} for fillets"
        raise ValueError(f"{allowed}, but they are {source_lang} and {target_lang}")
    levels = sorted(str(folder.parent.relative_to(game / "sound")) for folder in game.glob(f"sound/**/{source_lang}"))
    if not levels:
        raise FileNotFoundError(f"{game}/sound/*/{source_lang}: no such folder; correct --root, or unpack the package fillets-ng-data-{source_lang}")
    return [row for level in levels if split_of(level) == split for row in _rows(Path(root), level, source_lang, target_lang)]


def directions(root: str | Path) -> list[tuple[str, str]]:
    """Every language that is spoken there with every other one, sorted."""
    game = Path(root) / GAME
    spoken = [language for language in SPOKEN if any(game.glob(f"sound/*/{language}"))]
    return sorted((source, target) for source in spoken for target in TRANSLATED if source != target)


def texts(root: str | Path, source_lang: str, target_lang: str) -> list[CorpusRow]:
    """The rows of training that have a text in both languages and no recording, also of levels without any, level after level.

    Left out is what stands word by word in a level of dev or test, in either language.
    """
    split_of, scripts = rule_of("fillets", "train"), Path(root) / GAME / "script"
    levels = {str(path.parent.relative_to(scripts)) for path in scripts.rglob(f"*dialogs_{source_lang}.lua")} - {"share"} | set(TEXTS_OF)
    rows = [(split_of(level), row) for level in sorted(levels) for row in _rows(Path(root), level, source_lang, target_lang)]
    held_out = {text for split, row in rows if split != "train" for text in (row.utterance.src_text, row.utterance.tgt_text)}
    return [
        replace(row, left_out="")
        for split, row in rows
        if split == "train"
        and row.left_out == NOT_RECORDED
        and not _text_problem(row.utterance.src_text, row.utterance.tgt_text, target_lang)
        and not held_out & {row.utterance.src_text, row.utterance.tgt_text}
    ]


def _rows(root: Path, level: str, source_lang: str, target_lang: str) -> Iterator[CorpusRow]:
    spoken, translated = (_dialogs(root / GAME / "script", level, language) for language in (source_lang, target_lang))
    folder = f"{GAME}/sound/{level}/{source_lang}"
    recorded = {path.stem for path in (root / folder).glob("*.ogg")}
    unknown = Dialog(f"{root / folder}", "", "")
    for name in [*spoken, *sorted(recorded - spoken.keys())]:
        dialog, audio = spoken.get(name, unknown), f"{folder}/{name}.ogg"
        translation = translated[name].text if name in translated else ""
        if name not in recorded and not dialog.text:
            continue  # a sound effect, in the language of nobody
        sample_rate = header_of(audio, root)[1] if name in recorded else 0
        utterance = Utterance(
            id=f"{level}_{name}".replace("/", "-"),
            audio=audio,
            n_frames=0,
            tgt_text=translation,
            speaker=f"{source_lang}-{dialog.speaker}" if dialog.speaker else "",
            src_text=dialog.text,
            src_lang=source_lang,
            tgt_lang=target_lang,
            extra={"level": level, "sample_rate": str(sample_rate or "")},
        )
        left_out = _left_out(name, recorded, spoken, dialog.text, translation, target_lang)
        yield CorpusRow(utterance, dialog.place, left_out=left_out, may_be_empty=True)


def _left_out(name: str, recorded: set[str], spoken: dict[str, Dialog], text: str, translation: str, target_lang: str) -> str:
    if name not in recorded:
        return NOT_RECORDED
    if name not in spoken:
        return "that have no dialog"
    return _text_problem(text, translation, target_lang)


def _text_problem(text: str, translation: str, target_lang: str) -> str:
    if not text:
        return "that have no text"
    if not translation:
        return f"that have no text in {target_lang}"
    if re.search(r"%\d", text):
        return "whose text has a placeholder"
    latin = (text,) if target_lang in ("bg", "ru") else (text, translation)
    if any(letters_by_script(one)["CYRILLIC"] for one in latin):
        return "whose text is in two scripts"
    return ""


def _dialogs(scripts: Path, level: str, language: str) -> dict[str, Dialog]:
    """ID -> dialog of a level, in the order of its files; of several texts the last one counts, as in the game."""
    names = TEXTS_OF.get(level)
    paths = [scripts / f"{name}_{language}.lua" for name in names] if names else sorted((scripts / level).glob(f"*dialogs_{language}.lua"))
    dialogs: dict[str, Dialog] = {}
    for path in paths:
        if path.is_file():
            dialogs |= _of_file(path, is_english=language == "en")
    return dialogs


def _of_file(path: Path, is_english: bool) -> dict[str, Dialog]:
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but is not ({error}); unpack the package again") from error
    dialogs, name = {}, ""
    for call in _LUA.finditer(content):
        if call[0].startswith("dialogId"):
            name = call[1]
            place = f"{path}:{content.count(chr(10), 0, call.start()) + 1}"
            dialogs[name] = Dialog(place, call[2].removeprefix("font_"), _plain(call[3]) if is_english else "")
        elif call[0].startswith("dialogStr"):
            if not name:
                raise ValueError(f"{path}: a dialogStr must follow its dialogId, but {call[0]} does not; unpack the package again")
            dialogs[name] = dialogs[name]._replace(text=_plain(call[4]))
    return dialogs


def _plain(lua: str) -> str:
    """The text of a Lua string, in one line."""
    return " ".join(re.sub(r"\\(.)", lambda escape: " " if escape[1] in "nt" else escape[1], lua).split())
