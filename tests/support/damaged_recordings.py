"""Model folders, recordings, lists of hot words and folders of texts, for `speechllm export`, `transcribe` and `bench transcribe`."""

import hashlib
import json

import numpy as np
import safetensors.torch
import soundfile
import torch
from damaged_inputs import Case
from damaged_world import append, both, changed, cut, folder, nothing, removed, replace, write

MODEL_FILES = ("model.safetensors", "model.json", "config.yaml", "spm_target.txt", "spm_target.model")
AGAIN = "copy the whole folder again"


def resealed(damage):
    """Checksums that fit the damage: the folder looks as if it had been exported like that."""

    def whole(world):
        damage(world)
        lines = []
        for line in (world / "model/checksums.sha256").read_text().splitlines():
            name = line.partition("  ")[2]
            lines.append(f"{hashlib.sha256((world / 'model' / name).read_bytes()).hexdigest()}  {name}\n")
        (world / "model/checksums.sha256").write_text("".join(lines))

    return whole


def settings(change):
    """A resealed model.json whose settings `change` returns."""
    return resealed(changed("model/model.json", lambda content: json.dumps(change(json.loads(content))).encode()))


def without(name):
    return settings(lambda found: {key: value for key, value in found.items() if key != name})


def weights(change):
    def damage(world):
        tensors = safetensors.torch.load_file(world / "model/model.safetensors")
        (world / "model/model.safetensors").write_bytes(safetensors.torch.save(change(tensors)))

    return resealed(damage)


def recording(name, samples, rate=16000, **options):
    def damage(world):
        soundfile.write(world / name, samples, rate, **options)

    return damage


def flipped(name):
    """One bit in the middle of a file is another."""

    def change(content):
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]

    return changed(name, change)


def begun(description):
    return both(folder("texts"), write("texts/.transcribe.json", description))


def no_text(done, world):
    return done.out == "\n"


def printed(done, world):
    return done.out.endswith("\n")


NAN = np.full(8000, np.nan, dtype=np.float32)
CASES = [
    *(
        Case(f"a model without {name}", removed(f"model/{name}"), "TRANSCRIBE", f"model/{name}: this file of the model is missing")
        for name in MODEL_FILES
    ),
    *(
        Case(f"a flipped bit in a model's {name}", flipped(f"model/{name}"), "TRANSCRIBE", f"model/{name}: is damaged or of another model")
        for name in MODEL_FILES
    ),
    *(Case(f"a cut {name} of a model", cut(f"model/{name}", 0.5), "TRANSCRIBE", AGAIN) for name in MODEL_FILES),
    Case("a model without checksums", removed("model/checksums.sha256"), "TRANSCRIBE", "model: no model folder, as it has no checksums.sha256"),
    Case("checksums of other bytes", write("model/checksums.sha256", bytes(range(256))), "TRANSCRIBE", "checksums.sha256: must have lines"),
    Case("checksums of nothing", write("model/checksums.sha256", ""), "TRANSCRIBE", "checksums.sha256: does not name model.json"),
    Case("checksums of a file elsewhere", append("model/checksums.sha256", f"{'0' * 64}  ../model.sh\n"), "TRANSCRIBE", "must have lines"),
    Case("a foreign file in a model", write("model/notes.txt", "x"), "TRANSCRIBE", "model/notes.txt: does not belong to the model"),
    Case("a foreign folder in a model", folder("model/old"), "TRANSCRIBE", "model/old: does not belong to the model"),
    Case("code in a model", write("model/hubconf.py", "open('ran', 'w')"), "TRANSCRIBE", "model/hubconf.py: does not belong to the model"),
    Case("a model without its card", removed("model/README.md"), "TRANSCRIBE", accepted=printed),
    Case("a checkpoint for a model", nothing, "speechllm transcribe run/last.pt talk.flac", "run/last.pt: no model folder"),
    Case("a data folder for a model", nothing, "speechllm transcribe data talk.flac", "data: no model folder"),
    Case("no such model", nothing, "speechllm transcribe none talk.flac", "none: no model folder"),
    Case("model.json that is none", resealed(write("model/model.json", "{")), "TRANSCRIBE", "model/model.json: "),
    Case("model.json in another encoding", resealed(write("model/model.json", b"\xff\xfe{")), "TRANSCRIBE", "model/model.json: "),
    Case("model.json of a list", resealed(write("model/model.json", "[]")), "TRANSCRIBE", "model.json: must be a JSON object, but is []"),
    Case("a model of the next version", settings(lambda found: {**found, "format": 2}), "TRANSCRIBE", "must have format 1, but has 2"),
    *(
        Case(f"model.json without {name}", without(name), "TRANSCRIBE", "model/model.json: ")
        for name in ("cfg", "vocabularies", "features", "languages", "training_speech", "same_tensors", "num_updates")
    ),
    Case(
        "model.json with numbers as text",
        settings(lambda found: {**found, "training_speech": {"window_seconds": "long"}}),
        "TRANSCRIBE",
        "model.json: ",
    ),
    Case("model.json with a list of languages", settings(lambda found: {**found, "languages": ["de"]}), "TRANSCRIBE", "model/model.json: "),
    Case(
        "a model of other features",
        settings(lambda found: {**found, "features": {"num_bins": 40}}),
        "TRANSCRIBE",
        "its features are {'num_bins': 40}",
    ),
    Case(
        "a model of an unknown architecture", settings(lambda found: {**found, "cfg": {"model": {"_name": "lstm"}}}), "TRANSCRIBE", "but is of lstm"
    ),
    Case(
        "weights that are none", resealed(write("model/model.safetensors", "x" * 99)), "TRANSCRIBE", "model.safetensors: not readable as safetensors"
    ),
    Case("a model without a tensor", weights(lambda found: dict(list(found.items())[:-1])), "TRANSCRIBE", "with other flags"),
    Case("a tensor too many", weights(lambda found: {**found, "more": torch.zeros(2)}), "TRANSCRIBE", "with other flags"),
    Case(
        "weights of another size",
        weights(lambda found: {name: each[..., :1].clone() if each.dim() else each for name, each in found.items()}),
        "TRANSCRIBE",
        "model",
    ),
    Case("a model's vocabulary of other words", resealed(write("model/spm_target.txt", "a 1\nb 1\n")), "TRANSCRIBE", "are of two vocabularies"),
    Case("a model's tokenizer that is none", resealed(write("model/spm_target.model", "x" * 99)), "TRANSCRIBE", "spm_target.model"),
    Case("a model's config.yaml of a list", resealed(write("model/config.yaml", "- a\n")), "TRANSCRIBE", "config.yaml: must be a mapping"),
    Case(
        "a model of samples without bits",
        resealed(replace("model/config.yaml", "sample_bits: 16", "sample_bits: 0")),
        "TRANSCRIBE",
        "sample_bits must be",
    ),
    Case(
        "a model of samples of many bits",
        resealed(replace("model/config.yaml", "sample_bits: 16", "sample_bits: 64")),
        "TRANSCRIBE",
        "sample_bits must be",
    ),
    Case("a damaged model for fairseq-generate", flipped("model/model.safetensors"), "GENERATE --path model", "is damaged or of another model"),
    Case("no recording", nothing, "speechllm transcribe model none.wav --device cpu", "none.wav: no such recording"),
    Case(
        "a text for a recording",
        write("talk.wav", "hello\n"),
        "speechllm transcribe model talk.wav --device cpu",
        "1 of 1 recordings could not be read: talk.wav: ",
    ),
    Case("an empty recording", write("talk.flac", ""), "TRANSCRIBE", "talk.flac: "),
    Case("half a recording", cut("talk.flac", 0.5), "TRANSCRIBE", "talk.flac: "),
    Case("a recording without samples", recording("talk.wav", np.zeros(0)), "TRANSCRIBE talk.wav", "the waveform is empty"),
    Case(
        "a recording of NaN",
        recording("talk.wav", NAN, subtype="FLOAT"),
        "speechllm transcribe model talk.wav --device cpu",
        "NaN or infinite samples",
    ),
    Case("a recording of one sample", recording("talk.flac", np.ones(1)), "TRANSCRIBE", accepted=no_text),
    Case("a recording of silence", recording("talk.flac", np.zeros(16000)), "TRANSCRIBE", accepted=no_text),
    Case("a recording of eight channels", recording("talk.flac", np.zeros((16000, 8))), "TRANSCRIBE", accepted=no_text),
    Case("a recording of 96 kHz", recording("talk.flac", np.zeros(96000), 96000), "TRANSCRIBE", accepted=no_text),
    Case("a folder named as a recording", folder("talk.flac"), "TRANSCRIBE", "talk.flac: no recording in this folder"),
    Case("a folder without recordings", nothing, "speechllm transcribe model run --device cpu", "run: no recording in this folder"),
    Case("a recording among others", write("b.wav", "x"), "TRANSCRIBE b.wav", "1 of 2 recordings could not be read: b.wav"),
    Case("a recording with a line break in its name", write("b\nc.wav", "x"), "TRANSCRIBE 'b\nc.wav'", "1 of 2 recordings could not be read"),
    Case("a language that a model does not write", nothing, "TRANSCRIBE --language it", "--language it: model writes de"),
    Case("a transcription with a beam of 0", nothing, "TRANSCRIBE --beam 0", "--beam must be positive, but is 0"),
    Case("a beam wider than the vocabulary", nothing, "TRANSCRIBE --beam 1000", "--beam must be below the"),
    Case("a beam of 10**12", nothing, "TRANSCRIBE --beam 1000000000000", "--beam must be below the"),
    Case("more texts than hypotheses", nothing, "TRANSCRIBE --n-best 6", "--n-best must be between 1 and --beam (5), but is 6"),
    Case("a CTC weight of 1", nothing, "TRANSCRIBE --ctc-decoding-weight 1", "--ctc-decoding-weight must be at least 0 and below 1"),
    Case("a CTC weight of NaN", nothing, "TRANSCRIBE --ctc-decoding-weight nan", "--ctc-decoding-weight must be at least 0 and below 1"),
    Case("a CTC weight of a translation", nothing, "TRANSCRIBE --ctc-decoding-weight 0.3", "--ctc-decoding-weight"),
    Case("an unknown format of texts", nothing, "TRANSCRIBE --format doc", "invalid choice: 'doc'", status=2),
    Case(
        "subtitles of two recordings", nothing, "TRANSCRIBE talk.flac ./talk.flac --format srt", "--format srt of 2 recordings needs files of its own"
    ),
    Case("an empty list of hot words", write("words.txt", ""), "TRANSCRIBE --hot-words words.txt", accepted=printed),
    Case("a list of blank hot words", write("words.txt", "\n \n\t\n"), "TRANSCRIBE --hot-words words.txt", accepted=printed),
    Case(
        "hot words that the vocabulary cannot write",
        write("words.txt", "Ωmega\n"),
        "TRANSCRIBE --hot-words words.txt",
        accepted=lambda done, world: "cannot be written" in done.err,
    ),
    Case("hot words of other bytes", write("words.txt", b"\xff\xfe\x00"), "TRANSCRIBE --hot-words words.txt", "words.txt"),
    Case("hot words with a NUL", write("words.txt", "a\0b\n"), "TRANSCRIBE --hot-words words.txt", accepted=printed),
    Case("no list of hot words", nothing, "TRANSCRIBE --hot-words none.txt", "none.txt: no such"),
    Case("a folder for a list of hot words", nothing, "TRANSCRIBE --hot-words run", "run"),
    Case(
        "a bonus of 0",
        write("words.txt", "eins\n"),
        "TRANSCRIBE --hot-words words.txt --hot-word-bonus 0",
        "--hot-word-bonus must be positive and finite, but is 0",
    ),
    Case("a bonus of NaN", write("words.txt", "eins\n"), "TRANSCRIBE --hot-words words.txt --hot-word-bonus nan", "--hot-word-bonus must be"),
    Case("a bonus without end", write("words.txt", "eins\n"), "TRANSCRIBE --hot-words words.txt --hot-word-bonus inf", "--hot-word-bonus must be"),
    Case("a bonus without words", nothing, "TRANSCRIBE --hot-word-bonus 1", "has an effect only with --hot-words"),
    Case("texts into a file", write("texts", ""), "TRANSCRIBE --output texts", "--output"),
    Case("texts below a file", write("texts", ""), "TRANSCRIBE --output texts/more", "--output"),
    Case("texts where none can be", nothing, "TRANSCRIBE --output /proc/texts", "--output"),
    Case("texts of a run without settings", begun(""), "TRANSCRIBE --output texts", "texts/.transcribe.json"),
    Case("texts of a run with damaged settings", begun('{"format": '), "TRANSCRIBE --output texts", "texts/.transcribe.json"),
    Case("texts of a run with a list of settings", begun("[1]"), "TRANSCRIBE --output texts", "texts"),
    Case("texts of a run with other settings", begun('{"format": "srt"}'), "TRANSCRIBE --output texts", "texts"),
    Case(
        "texts of a run without its settings",
        both(folder("texts"), write("texts/talk.txt", "kept")),
        "TRANSCRIBE --output texts",
        "texts/talk.txt is there, and was not written by this command",
    ),
    Case("a folder in place of a text", folder("texts/talk.txt"), "TRANSCRIBE --output texts", "texts/talk.txt"),
    Case("no checkpoint to export", nothing, "speechllm export none.pt --data data out", "none.pt: no such"),
    Case("a damaged checkpoint to export", cut("run/last.pt", 0.5), "EXPORT", "run/last.pt"),
    Case("other data to export with", removed("data/train.tsv"), "EXPORT", "data/train.tsv"),
    Case("no data to export with", nothing, "speechllm export run/last.pt --data none out", "none"),
    Case("an export without features", removed("data/fbank80.train.zip"), "EXPORT", "fbank80.train.zip"),
    Case("an export of damaged features", cut("data/fbank80.train.zip", 0.5), "EXPORT", "fbank80.train.zip"),
    Case("an export over something", folder("out"), "EXPORT", "out: is there already"),
    Case("an export below a file", write("x", ""), "speechllm export run/last.pt --data data x/out", "x/out"),
    Case("an export of scores that are none", write("s.json", "{}"), "EXPORT --scores s.json", "s.json: not a file of speechllm score --json"),
    Case("an export of no scores", nothing, "EXPORT --scores none.json", "none.json"),
    Case("an export about nothing", nothing, "EXPORT --about none.md", "none.md"),
    Case("an export about other bytes", write("a.md", b"\xff\xfe"), "EXPORT --about a.md", "a.md"),
    Case("times of a damaged model", flipped("model/model.json"), "TIMES", "model/model.json: is damaged or of another model"),
    Case("times of no recording", nothing, "TIMES none.wav", "none.wav: no such recording"),
    Case("times of half a recording", cut("talk.flac", 0.5), "TIMES", "talk.flac: "),
    Case("times of no beam", nothing, "TIMES --beam 0", "--beam must be positive, but is 0"),
    Case("times of a beam wider than the vocabulary", nothing, "TIMES --beam 5 1000", "--beam must be below the"),
    Case("times of no passes", nothing, "TIMES --repeats 0", "--repeats must be from 1 to 1,000, but is 0"),
    Case("times of texts of one token", nothing, "TIMES --tokens 1", "--tokens must be at least 2, but is 1"),
    Case("times of endless texts", nothing, "TIMES --tokens 1000000000000", "--tokens"),
    Case("times into a folder", folder("t.json"), "TIMES --json t.json", "--json must be a file, but t.json is a folder"),
    Case("times of 10**12 hot words", nothing, "TIMES --hot-words 1000000000000", "--hot-words must be from 1 to 100,000"),
    Case("times of 10**12 wavs", nothing, "TIMES --seconds 10 --recordings 1000000000000", "--recordings must be at most 36000 of 10 seconds"),
    Case("times of a model file with a command", write("model.sh", "touch ran\n"), "TIMES --model-file model.sh", "the file is read, not run"),
    Case("wavs where something is", folder("kept"), "TIMES --seconds 1 --keep kept", "--keep kept: is there already"),
]
