"""Damaged corpora: what `speechllm prepare` reads, MuST-C's layout and a TSV of one's own."""

from damaged_inputs import Case
from damaged_world import append, both, changed, cut, folder, nothing, removed, replace, write

TXT = "mustc/en-de/data/train/txt"
YAML, EN, DE = f"{TXT}/train.yaml", f"{TXT}/train.en", f"{TXT}/train.de"
WAV = "mustc/en-de/data/train/wav/ted_1.wav"
SHORT_WAV = "mustc/en-de/data/train/wav/ted_2.wav"
NEW = "PREPARE --out new"
LEVELS = range(1, 30)
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in LEVELS)


def first(new):
    """The first segment of the training set is another one."""
    return changed(YAML, lambda content: new.encode() + b"\n" + content.partition(b"\n")[2])


def segment(**values):
    """The first segment with other values, written as they stand."""
    fields = {"duration": "0.300000", "offset": "0.250000", "rW": "1", "speaker_id": "spk.1", "uW": "0", "wav": "ted_1.wav"} | values
    return first("- {" + ", ".join(f"{name}: {value}" for name, value in fields.items() if value is not None) + "}")


CASES = [
    Case("no corpus", removed("mustc"), NEW, "mustc/en-de/data/train: no such split"),
    Case("no such language", nothing, f"{NEW} --target-lang fr", "mustc/en-fr/data/train: no such split"),
    Case("no such split", nothing, f"{NEW} --splits train test", "mustc/en-de/data/test: no such split"),
    Case("no training split", nothing, f"{NEW} --splits dev", "--splits must name train in the first run"),
    Case("no segments", removed(YAML), NEW, "train.yaml: no such file; the split must have it"),
    Case("empty segments", write(YAML, ""), NEW, "train.yaml: must be a list of segments"),
    Case("segments of a mapping", write(YAML, "a: 1\n"), NEW, "train.yaml: must be a list of segments"),
    Case("segments cut", cut(YAML, 0.5), NEW, "train.yaml"),
    Case("segments nested in brackets", write(YAML, "[" * 10**6), NEW, "train.yaml: not readable as YAML (line 1: more than 50 collections"),
    Case("segments nested in lists", write(YAML, "- " * 10**5 + "x"), NEW, "train.yaml: not readable as YAML (line 1: more than 50 collections"),
    Case("segments with a bomb of aliases", write(YAML, BOMB), NEW, "aliases (*a3) stand for more than 10,000 values"),
    Case("segments with code", first("- !!python/object/apply:os.system [touch ran]"), NEW, "must have a field wav, but is ['touch ran']"),
    Case("segments not UTF-8", append(YAML, b"# \xff\n"), NEW, "train.yaml: must be UTF-8"),
    Case("segments with a zero byte", append(YAML, b"\0"), NEW, "train.yaml: not readable as YAML"),
    Case("a segment of text", first("- hello"), NEW, "segment 1: the segment must have a field wav, but is 'hello'"),
    Case("a segment without a duration", segment(duration=None), NEW, "segment 1: the segment must have a field duration"),
    Case("a segment with a field twice", first("- {offset: 0.25, wav: ted_1.wav, wav: ted_2.wav}"), NEW, "each key must stand once"),
    Case("a duration of text", segment(duration="long"), NEW, "segment 1: duration must be seconds"),
    Case("a duration of true", segment(duration="true"), NEW, "segment 1: duration must be seconds"),
    Case("a duration of nan", segment(duration=".nan"), NEW, "segment 1: duration must be seconds"),
    Case("a duration below 0", segment(duration="-1"), NEW, "segment 1: duration must be seconds"),
    Case("a duration of 400 digits", segment(duration="9" * 400), NEW, "segment 1: duration must be seconds"),
    Case("a duration of 5,000 digits", segment(duration="9" * 5000), NEW, "train.yaml"),
    Case("an offset of 1e308", segment(offset="1.0e+308"), NEW, "segment 1: offset must be seconds"),
    Case("an infinite offset", segment(offset=".inf"), NEW, "segment 1: offset must be seconds"),
    Case("an offset behind the sound", segment(offset="9999.0"), NEW, "1 of 21 rows cannot be used (listed above)"),
    Case("sound of a number", segment(wav="7"), NEW, "7"),
    Case("sound in another folder", segment(wav="../../../../../own/sound/dev0.wav"), NEW, "is outside --root"),
    Case("a name of 70,000 characters", segment(wav="x" * 70000), NEW, "segment 1: id must have at most"),
    Case("sound of an absolute path", segment(wav="/etc/passwd"), NEW, "etc/passwd"),
    Case("sound with escapes in its name", segment(wav='"\\e[31mred.wav"'), NEW, "\\x1b[31mred"),
    Case("sound with a tab in its name", segment(wav='"a\\tb.wav"'), NEW, "id must have no tab or line break"),
    Case("sound with a zero byte in its name", segment(wav='"a\\0b.wav"'), NEW, "a\\x00b.wav"),
    Case("no transcripts", removed(EN), NEW, "train.en: no such file; the split must have it"),
    Case("a transcript too many", append(EN, "one\n"), NEW, "train.en: must have one line per segment of train.yaml (21), but has 22"),
    Case("transcripts not UTF-8", append(EN, b"\xff"), NEW, "train.en: must be UTF-8"),
    Case("transcripts of zero bytes", changed(EN, lambda content: b"\0" * 20 + b"\n" * 21), NEW, "train"),
    Case("an empty translation", changed(DE, lambda content: b"\n" + content.partition(b"\n")[2]), NEW, "segment 1"),
    Case("a translation with a tab", changed(DE, lambda content: b"a\tb\n" + content.partition(b"\n")[2]), NEW, "segment 1"),
    Case("a translation with a line break of Unicode", changed(DE, lambda content: "a\u2028b\n".encode() + content.partition(b"\n")[2]), NEW,
         accepted=lambda done, world: "a\u2028b" in (world / "new/train.tsv").read_text()),
    Case("no sound", removed(WAV), NEW, "ted_1.wav"),
    Case("empty sound", write(WAV, ""), NEW, "ted_1.wav"),
    Case("sound of text", write(WAV, "hello"), NEW, "ted_1.wav"),
    Case("sound of noise", write(WAV, bytes(range(256)) * 40), NEW, "ted_1.wav"),
    Case("sound cut", cut(WAV, 0.5), NEW, "ted_1.wav"),
    Case("a folder for sound", folder(WAV), NEW, "ted_1.wav"),
    Case("a vocabulary of one piece", nothing, f"{NEW} --vocab-size 1", "--vocab-size"),
    Case("a vocabulary of no piece", nothing, f"{NEW} --vocab-size 0", "must be positive", status=2),
    Case("a vocabulary too large", nothing, f"{NEW} --vocab-size 9999", "--vocab-size"),
    Case("no process", nothing, f"{NEW} --workers 0", "must be positive", status=2),
    Case("a folder where a file stands", write("new", "x"), NEW, "new"),
    Case("a folder below a file", write("x", "x"), "PREPARE --out x/new", "x"),
    Case("a hold-out without a value", nothing, f"{NEW} --hold-out accent", "must be a column and its value", status=2),
    Case("a hold-out of no column", nothing, f"{NEW} --hold-out accent=us", "accent"),
    Case("a mask of letters", nothing, f"{NEW} --specaugment time_mask_N=x", "must be a SpecAugment setting and its number", status=2),
    Case("another folder's vocabulary that is not there", nothing,
         "speechllm prepare mustc --root mustc --source-lang en --target-lang de --task st --workers 1 --out new --transcript-vocab-from run",
         "--transcript-vocab-from must be a folder with this vocabulary"),
    Case("a folder that another corpus made", nothing, "PREPARE --out data --root own", "--root is"),
    Case("the same again", nothing, "PREPARE --out data", accepted=lambda done, world: done.out.count("already prepared") == 3),
    Case("only checked", nothing, f"{NEW} --check", accepted=lambda done, world: not (world / "new").exists() and "complete" in done.out),
]  # fmt: skip

TSV = "own/train.tsv"
OWN = "TSV --out new"
CASES += [
    Case("an own table that is not there", removed(TSV), OWN, "own/train.tsv"),
    Case("an own table without a column", replace(TSV, "tgt_text", "text"), OWN, "tgt_text"),
    Case("an own table that is empty", write(TSV, ""), OWN, "own/train.tsv:1: column"),
    Case("an own table of a header", changed(TSV, lambda content: content.partition(b"\n")[0] + b"\n"), OWN, "own/train.tsv"),
    Case("an own table not UTF-8", append(TSV, b"a\t\xff\tb\tc\n"), OWN, "own/train.tsv: must be UTF-8"),
    Case("an own table with commas", changed(TSV, lambda content: content.replace(b"\t", b",")), OWN, "own/train.tsv:1: column"),
    Case("an own row with a field too many", append(TSV, "a\tb\tc\td\te\n"), OWN, "own/train.tsv:14: the row must have 4 fields"),
    Case("an own id twice", append(TSV, "train0\tsound/train1.wav\teins\tone\n"), OWN, "train0"),
    Case("an own row of sound that is not there", append(TSV, "x\tsound/none.wav\teins\tone\n"), OWN, "sound/none.wav"),
    Case("an own row of sound outside", append(TSV, f"x\t../{WAV}\teins\tone\n"), OWN, "own/train.tsv:14: the audio file '../mustc"),
    Case("an own row of sound outside that is allowed", append(TSV, f"x\t../{SHORT_WAV}\teins\tone\n"), f"{OWN} --allow-outside-root",
         accepted=lambda done, world: "\nx\t" in (world / "new/train.tsv").read_text()),
    Case("an own row of sound of an absolute path", append(TSV, "x\t/etc/passwd\teins\tone\n"), OWN, "'/etc/passwd' is outside --root"),
    Case("an own row of a segment in letters", append(TSV, "x\tsound/train0.wav:a:b\teins\tone\n"), OWN, "sound/train0.wav:a:b"),
    Case("an own row of a segment behind the file", append(TSV, "x\tsound/train0.wav:99999999:800\teins\tone\n"), OWN, "train0.wav"),
    Case("an own id that is a path", append(TSV, "../../x\tsound/train0.wav\teins\tone\n"), OWN,
         accepted=lambda done, world: not any(".." in name or name.startswith("/") for name in members(world / "new/fbank80.train.zip"))),
    Case("an own id that is an absolute path", append(TSV, "/absolute/x\tsound/train0.wav\teins\tone\n"), OWN,
         accepted=lambda done, world: not any(".." in name or name.startswith("/") for name in members(world / "new/fbank80.train.zip"))),
    Case("an own id that commands a terminal", append(TSV, "\x1b[2J\tsound/train0.wav\teins\tone\n" * 2), OWN, "\\x1b[2J"),
    Case("an own table with a mark before it", changed(TSV, lambda content: b"\xef\xbb\xbf" + content), OWN,
         accepted=lambda done, world: (world / "new/train.tsv").read_text().startswith("id\t")),
    Case("an own table with carriage returns", changed(TSV, lambda content: content.replace(b"\n", b"\r\n")), OWN,
         accepted=lambda done, world: b"\r" not in (world / "new/train.tsv").read_bytes()),
    Case("two own tables of one damaged", both(nothing, append("own/dev.tsv", "a\tb\n")), OWN, "own/dev.tsv:4: the row must have 4 fields"),
]  # fmt: skip


def members(path):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.namelist()
