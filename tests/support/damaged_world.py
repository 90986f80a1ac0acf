"""A folder with one sound thing of each kind that the commands read, and the ways in which a case damages it."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import mustc_corpus
import numpy as np
import one_process
import synthetic_runs
import torch

SIZES = "--encoder-layers 2 --encoder-embed-dim 16 --encoder-ffn-embed-dim 16 --encoder-attention-heads 2 --conv-channels 16"
SIZES += " --decoder-layers 1 --decoder-embed-dim 16 --decoder-ffn-embed-dim 16 --decoder-attention-heads 2"
# What a case's command may begin with.
SHORT = {
    "PREPARE": "speechllm prepare mustc --root mustc --source-lang en --target-lang de --task st --workers 1 --vocab-size 26 "
    "--transcript-vocab-size 26",
    "TSV": "speechllm prepare tsv --root own --source-lang en --target-lang de --task st --vocab-size 14 --transcript-vocab-size 14 --workers 1",
    "TRAIN": "fairseq-train data --cpu --task speechllm_speech_to_text --criterion ctc_cross_entropy --arch xattn_transformer --encoder conformer "
    f"--ctc-layer 1 {SIZES} --optimizer adam --lr 1e-2 --max-tokens 600 --valid-subset dev --num-workers 0 --save-dir new --max-update 1 "
    "--disable-validation --log-format none",
    "GENERATE": "fairseq-generate data --cpu --task speechllm_speech_to_text --gen-subset tst-COMMON --beam 2 --max-len-b 8 --num-workers 0",
    "INTERACTIVE": "fairseq-interactive data --cpu --task speechllm_speech_to_text --beam 2 --max-len-b 8 --path run/last.pt",
    "VALIDATE": "fairseq-validate data --cpu --task speechllm_speech_to_text --valid-subset dev --num-workers 0 --max-tokens 600",
    "SCORE": "speechllm score --hypotheses out.txt --manifest data/tst-COMMON.tsv --resamples 10",
    "REPORT": "speechllm report dfp=runs/dfp-seed1 xattn=runs/xattn-seed1 --out report.html --resamples 10 --examples 1 --no-audio --no-checkpoints",
    "DISTILL": "speechllm distill --data data --split tst-COMMON --mode replace --out student --teacher-output kd.tsv",
    "DESCRIBE": "speechllm describe model.sh --vocab-size 100 --transcript-vocab-size 50",
    "BENCH": "speechllm bench decode model.sh --vocab-size 50 --transcript-vocab-size 20 --batch 2 --seconds 1 --tokens 3 --beam 2 --repeats 1",
    "CHECK": "speechllm check run/last.pt --data data --split tst-COMMON --num-utterances 2",
    "SILENCE": "speechllm silence --data data --num 2",
    "EXPORT": "speechllm export run/last.pt --data data out",
    "TRANSCRIBE": "speechllm transcribe --device cpu model talk.flac",
    "TIMES": "speechllm bench transcribe --device cpu --beam 1 --repeats 1 model talk.flac",
    "SIMULATE": "speechllm simulate --device cpu --manifest data/tst-COMMON.tsv model",
    "STRESS": "speechllm stress --data data --split tst-COMMON",
    "FILLETS": "speechllm prepare fillets --root games --source-lang cs --task st --out new --workers 1",
    "TUXPAINT": "speechllm prepare tuxpaint --root games --source-lang fr --task st --out new --workers 1",
    "SCALING": "speechllm bench scaling model.sh --vocab-size 50 --transcript-vocab-size 20 --device cpu",
    "AVERAGE": "speechllm average --inputs run --num 2 --output mean.pt",
}
RECORDING = Path(__file__).resolve().parents[2] / "examples/digits/recordings/theo.flac"
MODEL_FILE = f"MODEL_ARGS=(--arch dfp_transformer --encoder conformer --ctc-layer 1 {SIZES})\n"


def build(root):
    """Make the world in a new folder; some seconds."""
    root.mkdir()
    mustc_corpus.small_corpus(root / "mustc")
    finished(f"{SHORT['PREPARE']} --out data", root)
    finished(SHORT["TRAIN"].replace("--max-update 1", "--max-update 2 --save-interval-updates 1 --no-epoch-checkpoints"), root)
    (root / "new").rename(root / "run")
    (root / "run/checkpoint_last.pt").rename(root / "run/last.pt")
    (root / "out.txt").write_text(finished(f"{SHORT['GENERATE']} --path run/last.pt", root).out)
    own_corpus(root / "own")
    synthetic_runs.make(root / "runs", utterances=6, training=10, silent=0)
    (root / "model.sh").write_text(MODEL_FILE)
    translations(root)
    finished(SHORT["EXPORT"], root)
    (root / "out").rename(root / "model")
    shutil.copyfile(RECORDING, root / "talk.flac")
    return root


def finished(command, root):
    done = one_process.run(command.split(), root)
    assert done.status == 0 and not done.traceback, done.err + done.traceback
    return done


def own_corpus(root):
    (root / "sound").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, number in (("train", 12), ("dev", 2), ("test", 2)):
        lines = ["id\taudio\ttgt_text\tsrc_text"]
        for row in range(number):
            name = f"sound/{split}{row}.wav"
            mustc_corpus.soundfile.write(root / name, rng.uniform(-0.3, 0.3, 4000 + 400 * row), 16000)
            lines.append(f"{split}{row}\t{name}\t{'eins zwei drei vier'[row % 4 :]}\t{'one two three four'[row % 4 :]}")
        (root / f"{split}.tsv").write_text("\n".join(lines) + "\n")


def translations(root):
    """A KD file of the test set, as `speechllm translate` writes it."""
    from speechllm_plugin.data import manifest
    from speechllm_plugin.distillation import kd_file

    rows = manifest.read(root / "data/tst-COMMON.tsv")
    lines = ["\t".join(kd_file.KD_COLUMNS)]
    lines += [f"{row.id}\t{kd_file.source_hash(row)}\t1\t-0.5\tein Text" for row in rows]
    (root / "kd.tsv").write_text("\n".join(lines) + "\n")
    description = kd_file.describe(rows, teacher="t", split="tst-COMMON", k=1, options={})
    kd_file.description_path(root / "kd.tsv").write_text(json.dumps(description))


# Damages: each returns what changes a world.


def nothing(world):
    """The world stays sound; the command line is what is wrong."""


def write(name, content):
    def damage(world):
        path = world / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))

    return damage


def append(name, content):
    return changed(name, lambda old: old + (content if isinstance(content, bytes) else content.encode()))


def replace(name, old, new):
    def change(content):
        old_bytes, new_bytes = (each if isinstance(each, bytes) else each.encode() for each in (old, new))
        assert old_bytes in content, (name, old)
        return content.replace(old_bytes, new_bytes)

    return changed(name, change)


def cut(name, share):
    return changed(name, lambda content: content[: int(len(content) * share)])


def changed(name, change):
    def damage(world):
        content = (world / name).read_bytes()
        (world / name).write_bytes(change(content))

    return damage


def removed(name):
    def damage(world):
        path = world / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def folder(name):
    """A folder stands where a file should."""

    def damage(world):
        path = world / name
        if path.is_file():
            path.unlink()
        path.mkdir(parents=True)

    return damage


def both(*damages):
    def damage(world):
        for each in damages:
            each(world)

    return damage


def config(key, value):
    """config.yaml with another value (in YAML) of a key."""

    def change(content):
        kept = [line for line in blocks(content.decode()) if not line.startswith(f"{key}:")]
        return "".join([*kept, f"{key}: {value}\n"]).encode()

    return changed("data/config.yaml", change)


def blocks(text):
    """The top-level entries of a YAML mapping."""
    entries = []
    for line in text.splitlines(keepends=True):
        if line[0] in " -" and entries:
            entries[-1] += line
        else:
            entries.append(line)
    return entries


class Malicious:
    """Unpickled carelessly, it makes a file."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def saved(name, make):
    """A checkpoint of this name that holds what `make` makes of the sound one."""

    def damage(world):
        state = torch.load(world / "run/last.pt", weights_only=True)
        torch.save(make(state), world / name)

    return damage


def pickled(name, protocol=2):
    return write(name, pickle.dumps({"model": Malicious()}, protocol))


def zipped(name, **members):
    def damage(world):
        with zipfile.ZipFile(world / name, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)

    return damage
