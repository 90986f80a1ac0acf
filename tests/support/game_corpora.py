"""Small corpora in the layouts of Fish Fillets NG and of Tux Paint's stamps, as Debian's packages unpack them."""

import numpy as np
import soundfile

RATE = 22050
# Levels of each split, by the lists of speechllm_plugin/preparation/splits.
LEVELS = {"train": ("alibaba", "share/border"), "dev": ("airplane",), "test": ("atlantis",)}


def write_sound(path, seconds=0.5, rate=RATE, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate)), rate, format="OGG", subtype="VORBIS")


class FishFillets:
    """Levels with dialogs, each said by the small or the big fish; `write` may be called again after changes.

    dialogs: level -> list of (id, speaker, {language: text}); en is what the other languages' files repeat.
    """

    def __init__(self, root, num_dialogs=6, languages=("cs", "de", "en")):
        self.game, self.languages = root / "usr/share/games/fillets-ng", languages
        self.dialogs = {
            level: [
                (f"x-{number}", ("small", "big")[number % 2], {lang: f"{lang} „{level[-3:]}“ a{number % 3} b{number}." for lang in languages})
                for number in range(num_dialogs)
            ]
            for levels in LEVELS.values()
            for level in levels
        }

    def texts_file(self, level, language):
        prefix = "share/shout_" if level == "share/border" else f"{level}/"
        return self.game / f"script/{prefix}dialogs_{language}.lua"

    def sound_file(self, level, name, language="cs"):
        return self.game / "sound" / level / language / f"{name}.ogg"

    def write(self):
        for number, (level, dialogs) in enumerate(self.dialogs.items()):
            for language in self.languages:
                lines = ['-- dialogStr("a comment")', 'for i = 0, 3 do dialogId("key"..i, "", "") end']
                for name, speaker, texts in dialogs:
                    lines.append(f'dialogId("{name}", "font_{speaker}",\n"{texts["en"]}")')
                    if language != "en" and language in texts:
                        lines.append(f'dialogStr("{texts[language]}") -- said -- twice')
                path = self.texts_file(level, language)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
            for index, (name, _, _) in enumerate(dialogs):
                write_sound(self.sound_file(level, name), 0.3 + 0.05 * index, (22050, 44100)[index % 2], seed=100 * number + index)
        return self


# Stamps of each split, by the same lists.
STAMPS = {
    "train": ("animals/one", "animals/two", "food/three", "food/four", "food/five"),
    "dev": ("animals/birds/adelaide-rosella", "animals/birds/seagull"),
    "test": ("animals/birds/peacock", "animals/birds/vulture"),
}


class Stamps:
    """Stamps with a text in each language, spoken in some of them.

    texts: stamp -> {language: text}; en is the first line of its file.
    """

    def __init__(self, root, spoken=("es", "fr"), languages=("en", "es", "fr", "de")):
        self.folder, self.spoken = root / "usr/share/tuxpaint/stamps", spoken
        names = [name for of_split in STAMPS.values() for name in of_split]
        self.texts = {name: {lang: f"{lang} {chr(97 + number)}" for lang in languages} for number, name in enumerate(names)}

    def sound_file(self, stamp, language):
        return self.folder / f"{stamp}_desc_{language}.ogg"

    def write(self):
        for number, (stamp, texts) in enumerate(self.texts.items()):
            for language in self.spoken:
                write_sound(self.sound_file(stamp, language), 0.5 + 0.05 * number, (44100, 8000)[number % 2], seed=7 * number + len(texts))
            lines = [texts.get("en", ""), "", *(f"{language}.utf8={text}" for language, text in texts.items() if language != "en")]
            (self.folder / f"{stamp}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return self
