"""Damaged data folders: config.yaml, manifests, archives, vocabularies, records."""

from damaged_inputs import Case
from damaged_world import append, both, changed, config, cut, folder, nothing, removed, replace, write

LEVELS = range(1, 30)
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in LEVELS)
TEXT, FLAG = "must be a text, in quotes", "must be true or false"
# What YAML reads, and what the message says after the name of the key.
WRONG_VALUES = [
    ("vocab_filename", "12", f"{TEXT} where YAML would take it for something else, but is 12"),
    ("vocab_filename", "[a, b]", TEXT),
    ("vocab_filename", "''", TEXT),
    ("transcript_vocab_filename", "{a: b}", TEXT),
    ("transcript_vocab_filename", "2024-01-01", f"{TEXT} where YAML would take it for something else, but is datetime.date(2024, 1, 1)"),
    ("audio_root", "7", TEXT),
    ("relative_audio_root", "[.]", TEXT),
    ("recording_root", "true", TEXT),
    ("bpe_tokenizer", "sentencepiece", "must be a mapping of a tokenizer's settings"),
    ("bpe_tokenizer", "{1: 2}", "must be a mapping of a tokenizer's settings"),
    ("bpe_tokenizer", "{bpe: [sentencepiece]}", "must be a mapping of a tokenizer's settings"),
    ("pre_tokenizer", "[moses]", "must be a mapping of a tokenizer's settings"),
    ("transcript_bpe_tokenizer", "false", "must be a mapping of a tokenizer's settings"),
    ("input_feat_per_channel", "'80'", "must be a whole number above 0, but is '80'"),
    ("input_feat_per_channel", "-80", "must be a whole number above 0, but is -80"),
    ("input_feat_per_channel", "80.5", "must be a whole number above 0"),
    ("input_channels", "one", "must be a whole number above 0"),
    ("prepend_tgt_lang_tag", "'yes'", FLAG),
    ("prepend_tgt_lang_tag", "1", FLAG),
    ("sample_kd_texts", "'false'", FLAG),
    ("shuffle", "[]", FLAG),
    ("transforms", "[utterance_cmvn]", "must be a mapping of lists of names"),
    ("transforms", "{'*': utterance_cmvn}", "must be a mapping of lists of names"),
    ("transforms", "{'*': [3]}", "must be a mapping of lists of names"),
    ("transforms", "{'*': [global_cmvn]}", "transform 'global_cmvn' is unknown"),
    ("feature_transforms", "7", "must be a mapping of lists of names"),
    ("specaugment", "[2, 2]", "must be a mapping of SpecAugment's numbers"),
    ("specaugment", "{time_mask_N: two}", "must be a mapping of SpecAugment's numbers"),
    ("specaugment", "{time_mask_p: .nan}", "must be a mapping of SpecAugment's numbers"),
    ("specaugment", "{freq_mask_N: -2}", "freq_mask_N must not be negative"),
    ("specaugment", "{masks: 2}", "correct specaugment"),
    ("utterance_cmvn", "true", "must be a mapping of settings"),
    ("tgt_lang", "no", "must be the code of a language, in quotes, but is False"),
    ("sampling_alpha", "'0.3'", "must be a number above 0 and at most 1"),
    ("sampling_alpha", ".nan", "must be a number above 0 and at most 1"),
    ("transcribe_probability", "2", "must be a number between 0 and 1"),
    ("use_audio_input", "true", "is not supported, but is True; remove it"),
]
CASES = [
    Case(f"{key}: {value}, {program.split()[0].lower()}", config(key, value), program, message)
    for number, (key, value, message) in enumerate(WRONG_VALUES)
    for program in (("TRAIN", "SILENCE", "DISTILL")[number % 3],)
]

SAFE = "not readable as YAML"
FILES = [
    ("empty list", "[]", "must be a mapping of settings (key: value), but is []"),
    ("text", "hello", "must be a mapping of settings (key: value), but is 'hello'"),
    ("number", "3", "must be a mapping of settings (key: value), but is 3"),
    ("broken", "a: [1\nb: 2", SAFE),
    ("a tab", "a:\n\t- b", SAFE),
    ("two documents", "a: 1\n---\nb: 2", SAFE),
    ("a key twice", "shuffle: true\nshuffle: false", "line 2: each key must stand once, but 'shuffle' stands twice"),
    ("nested brackets", "[" * 10**6, "line 1: more than 50 collections in each other"),
    ("nested lists", "- " * 10**5 + "x", "line 1: more than 50 collections in each other"),
    ("nested mappings", "\n".join(" " * level + "a:" for level in range(3000)), "line 51: more than 50 collections in each other"),
    ("bomb of aliases", BOMB, "aliases (*a3) stand for more than 10,000 values"),
    ("an alias of itself", "a: &a [*a]", "the alias *a stands for nothing, or for what it is part of"),
    ("code", "a: !!python/object/apply:os.system [touch ran]", "could not determine a constructor"),
    ("digits", "a: " + "9" * 5000, "4300 digits"),
    ("month 13", "a: 2024-13-45", "month must be in 1..12"),
    ("zero byte", "a: \0", "control characters are not allowed"),
    ("latin-1", b"a: caf\xe9", "must be UTF-8"),
    ("binary", bytes(range(256)), "must be UTF-8"),
]
CASES += [
    Case(f"config.yaml {what}, {program.split()[0].lower()}", write("data/config.yaml", content), program, message)
    for number, (what, content, message) in enumerate(FILES)
    for program in (("GENERATE --path run/last.pt", "SILENCE")[number % 2],)
]

MANIFEST, RECORD = "data/train.tsv", "data/.prepare.json"
WITH_OTHER_DATA = "speechllm distill --data data --split train --mode replace --out student --teacher-output kd.tsv"
SCORED = "SCORE"


def field(number, value, line=2):
    """A manifest with another value in a field (from 0) of a line."""

    def change(content):
        lines = content.split(b"\n")
        fields = lines[line - 1].split(b"\t")
        fields[number] = value.encode() if isinstance(value, str) else value
        return b"\n".join([*lines[: line - 1], b"\t".join(fields), *lines[line:]])

    return change


def of_train(number, value):
    return changed(MANIFEST, field(number, value))


CASES += [
    Case("no config.yaml", removed("data/config.yaml"), "TRAIN", "data/config.yaml: no such data config"),
    Case("a folder for config.yaml", folder("data/config.yaml"), "TRAIN", "data/config.yaml: no such data config"),
    Case("a key that nothing reads", config("shufle", "true"), "SILENCE", accepted=lambda done, world: "nothing reads 'shufle'" in done.err),
    Case("a key of null", config("tgt_lang", ""), "SILENCE", accepted=lambda done, world: (world / "data/silence.tsv").exists()),
    Case("no manifest", removed(MANIFEST), "TRAIN", "data/train.tsv: no such manifest"),
    Case("empty manifest", write(MANIFEST, ""), "TRAIN", "data/train.tsv:1: column 'id' is missing"),
    Case("manifest of a header", changed(MANIFEST, lambda old: old.split(b"\n")[0] + b"\n"), "TRAIN", "must have rows, but has only a header"),
    Case("manifest not UTF-8", append(MANIFEST, b"\xff\n"), "TRAIN", "data/train.tsv: must be UTF-8"),
    Case("manifest cut in a row", cut(MANIFEST, 0.47), "TRAIN", "fields as the header has, but has"),
    Case("manifest of zero bytes", write(MANIFEST, b"\0" * 500), "TRAIN", "data/train.tsv:"),
    Case("a row with a field too many", append(MANIFEST, "a\tb\tc\td\te\tf\tg\th\ti\tj\n"), "TRAIN", "fields as the header has, but has 10"),
    Case("a column twice", changed(MANIFEST, field(1, "id", line=1)), "TRAIN", "column 'audio' is missing"),
    Case("an id twice", changed(MANIFEST, lambda old: old + old.split(b"\n")[1] + b"\n"), "TRAIN", "id must be unique"),
    Case("n_frames of letters", of_train(2, "many"), "TRAIN", "data/train.tsv:2: n_frames must be a positive whole number"),
    Case("n_frames of 0", of_train(2, "0"), "TRAIN", "n_frames must be a positive whole number"),
    Case("n_frames below 0", of_train(2, "-3"), "TRAIN", "n_frames must be a positive whole number"),
    Case("n_frames in Arabic digits", of_train(2, "٣"), "TRAIN", "n_frames must be a positive whole number"),
    Case("n_frames that are not there", of_train(2, "29"), "TRAIN", "the manifest says 29 frames (n_frames), but there are 28"),
    Case("no text in training", of_train(3, ""), "TRAIN", "data/train.tsv:2: tgt_text must not be empty in training"),
    Case("no transcript in training", of_train(5, " "), "TRAIN", "data/train.tsv:2: src_text must not be empty in training"),
    Case("audio that is not there", of_train(1, "none.wav"), "TRAIN", "none.wav"),
    Case("audio behind the archive", of_train(1, "fbank80.train.zip:999999:99"), "TRAIN", "the features end at byte 1000098, but the archive has"),
    Case("audio without a span", of_train(1, "fbank80.train.zip:x:y"), "TRAIN", "must be archive.zip:byte_offset:num_bytes"),
    Case("a span of another row", of_train(1, "fbank80.train.zip:60:99"), "TRAIN", "fbank80.train.zip:60:99"),
    Case("a zero byte in audio", of_train(1, "a\0b.wav"), "TRAIN", "data"),
    Case("no archive", removed("data/fbank80.train.zip"), "TRAIN", "fbank80.train.zip"),
    Case("empty archive", write("data/fbank80.train.zip", ""), "TRAIN", "has 0 bytes, but had"),
    Case("archive cut in half", cut("data/fbank80.train.zip", 0.5), "TRAIN", "prepare the data again"),
    Case("archive of noise", changed("data/fbank80.train.zip", lambda old: b"\x55" * len(old)), "TRAIN", "fbank80.train.zip"),
    Case("no such split to generate", nothing, "GENERATE --path run/last.pt --gen-subset none", "data/none.tsv: no such manifest"),
    Case("no such validation set", nothing, "VALIDATE --path run/last.pt --valid-subset none", "data/none.tsv: no such manifest"),
    Case("no data folder", removed("data"), "TRAIN", "data/config.yaml: no such data config"),
    Case("a file for the data folder", both(removed("data"), write("data", "x")), "TRAIN", "data/config.yaml: no such data config"),
    Case("no dictionary", removed("data/spm_target.txt"), "TRAIN", "names the vocabulary spm_target.txt, but there is no"),
    Case("dictionary of bytes", write("data/spm_target.txt", bytes(range(256))), "TRAIN", "spm_target.txt"),
    Case("empty dictionary", write("data/spm_target.txt", ""), "TRAIN", "spm_target.txt"),
    Case("dictionary with an entry twice", append("data/spm_target.txt", "f 1\nf 1\n"), "TRAIN", "spm_target.txt"),
    Case("dictionary without counts", append("data/spm_target.txt", "word\n"), "TRAIN", "spm_target.txt"),
    Case("no SentencePiece model", removed("data/spm_target.model"), "TRAIN", "spm_target.model"),
    Case("empty SentencePiece model", write("data/spm_target.model", ""), "TRAIN", "spm_target.model"),
    Case("SentencePiece model cut", cut("data/spm_target.model", 0.5), "TRAIN", "spm_target.model"),
    Case("SentencePiece model of text", write("data/spm_target.model", "hello"), "TRAIN", "spm_target.model"),
    Case("no such tokenizer", config("bpe_tokenizer", "{bpe: nothing}"), "TRAIN", "bpe_tokenizer in the data configuration is not one"),
    Case("tokenizer without its model", config("bpe_tokenizer", "{bpe: sentencepiece}"), "TRAIN", "sentencepiece_model must be the file"),
    Case("no such pre-tokenizer", config("pre_tokenizer", "{tokenizer: nothing}"), "TRAIN", "pre_tokenizer in the data configuration is not one"),
    Case("record is a list", write("data/.prepare.json", "[]"), "PREPARE --out data", "data/.prepare.json: must be a JSON object, but is []"),
    Case("record is empty", write("data/.prepare.json", ""), "PREPARE --out data", "data/.prepare.json: must be JSON"),
    Case("record is nested", write("data/.prepare.json", "[" * 10**5), "PREPARE --out data", "data/.prepare.json: must be JSON"),
    Case("record without pieces", write(RECORD, '{"options": {}}'), "PREPARE --out data", "pieces must be of type dict, but is missing"),
    Case("record of other options", replace("data/.prepare.json", '"en"', '"fr"'), "PREPARE --out data", "but data was made with fr"),
    Case("record with a piece of another kind", replace("data/.prepare.json", '"mark"', '"nark"'), "PREPARE --out data", "data/.prepare.json"),
    Case("record of a distillation is a list", write("student/.distill.json", "[]"), "DISTILL", "student/.distill.json: must be a JSON object"),
]  # fmt: skip
