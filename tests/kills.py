"""Commands killed at random moments, then run again to their end: nothing may be lost, doubled or left behind.

    python3 tests/kills.py [--kills N] [--seed N] [--folder DIR] [WHAT ...]       WHAT: prepare distill train pipeline study

Every command runs once in one go. Then, until it has been killed N times, it begins in an empty folder and goes on there: it is killed after a
random part of the time that it takes, up to three times, and then may end. A third of the kills are SIGTERM to the command itself, after which
no process and no unfinished file may be left; the others are SIGKILL to all of its processes. The results must be those of the run in one go,
bit by bit. Prints a line per command; status 1 if something differs. Needs no corpus: speech is noise.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
import same_results
from commands import MODELS, OURS, PACKAGE, ROOT, TRAINING, clean_environment
from mustc_corpus import Corpus
from small_study import lay_out_noise

UNFINISHED = re.compile(r".*\.(tmp|part|draft|lock)")
KILLS_OF_A_RUN = 3  # at most, then it may end
SIZES = ["--vocab-size", 26, "--transcript-vocab-size", 26]
SPEECHLLM = [sys.executable, "-m", "speechllm_plugin.commands.cli"]
TEACHER = [
    *["--arch", "transformer", "--criterion", "cross_entropy"],
    *["--encoder-layers", 1, "--decoder-layers", 1, "--encoder-embed-dim", 16, "--decoder-embed-dim", 16, "--encoder-ffn-embed-dim", 16],
    *["--decoder-ffn-embed-dim", 16, "--encoder-attention-heads", 2, "--decoder-attention-heads", 2],
]
SECONDS_TO_STOP = 60


def same_files(first, second, names):
    """Lines that say which files, by the pattern of their names, differ in content, or are in one folder only."""
    found = [{path.relative_to(folder) for name in names for path in folder.rglob(name)} for folder in (first, second)]
    differences = [f"{path}: only in one" for path in sorted(found[0] ^ found[1])]
    differences += [f"{path}: differs" for path in sorted(found[0] & found[1]) if (first / path).read_bytes() != (second / path).read_bytes()]
    return differences if found[0] else ["nothing to compare"]


def same_weights(first, second):
    names = [{path.name for path in folder.rglob("*.pt")} for folder in (first, second)]
    differences = [f"{name}: only in one" for name in sorted(names[0] ^ names[1])]
    for path in first.rglob("*.pt"):
        other = second / path.relative_to(first)
        if other.exists() and same_results.weights(path) != same_results.weights(other):
            differences.append(f"{path.name}: other weights")
    return differences if names[0] else ["nothing to compare"]


def same_study(first, second):
    return same_results.compare(first / "out", second / "out")[0]


def prepare(folder):
    """`speechllm prepare` of a corpus of noise, without --out."""
    if not (folder / "mustc").exists():
        made, rng = Corpus(folder / "mustc"), random.Random(0)
        for talk, (split, size) in enumerate([("train", 120), ("dev", 12), ("tst-COMMON", 12)]):
            made.add_talk(split, talk, [round(rng.uniform(0.3, 1.2), 2) for _ in range(size)])
        made.write_texts()
    languages = ["--source-lang", "en", "--target-lang", "de", "--task", "st"]
    return [*SPEECHLLM, "prepare", "mustc", "--root", folder / "mustc", *languages, *SIZES, "--workers", 2]


def fairseq_train(folder):
    """`fairseq-train` on that corpus, without a model."""
    if not (folder / "data").exists():
        once([*prepare(folder), "--out", "data"], folder)
    return [Path(sys.executable).with_name("fairseq-train"), folder / "data", *TRAINING, "--cpu", "--no-epoch-checkpoints"]


def distill(folder):
    """`speechllm distill` with a teacher, without --out."""
    teacher = [*fairseq_train(folder), "--user-dir", PACKAGE, "--task", "speechllm_text_to_text", *TEACHER, "--max-update", 3]
    once([*teacher, "--save-dir", "teacher"], folder)
    options = ["--data", folder / "data", "--split", "train", "--mode", "append", "--cpu", "--max-tokens", 100]
    return [*SPEECHLLM, "distill", "--teacher", folder / "teacher/checkpoint_last.pt", *options]


def recipe(folder, name, *arguments):
    """A recipe on the small study of noise."""
    if not (folder / "study").exists():
        (folder / "study").mkdir()
        lay_out_noise(folder / "study")
        settings = folder / "study/training.sh"
        settings.write_text(settings.read_text().replace("[st]=40", "[st]=28").replace("--max-update 3", "--max-update 12"))
    return ["bash", ROOT / "recipes" / name, *arguments, "--training", folder / "study/training.sh", "--out", "out"]


def pipeline(folder):
    root = ["--root", folder / "study/digits-mustc", "--vocab-size", 28, "--transcript-vocab-size", 26]
    return [*recipe(folder, "mustc/run.sh", *root), "de", ROOT / "recipes/models/row1_xattn_transformer.sh"]


def study(folder):
    return recipe(folder, "study.sh", folder / "study/digits-mustc", "--tasks", "asr,st-de", "--rows", "5.1", "--jobs", 2)


SAVING = ["--save-dir", "out", "--max-update", 60, "--save-interval-updates", 4, "--keep-interval-updates", 2, "--num-workers", 1]
# name: the command, made with what it needs in a folder; lines that say what differs between its results in two folders
SUBJECTS = {
    "prepare": (lambda folder: [*prepare(folder), "--out", "out"], lambda *folders: same_files(*folders, ["*.tsv", "*.zip", "spm_*"])),
    "distill": (lambda folder: [*distill(folder), "--out", "out"], lambda *folders: same_files(*folders, ["*.tsv", "spm_*"])),
    "train": (lambda folder: [*fairseq_train(folder), *OURS, *MODELS["xattn_transformer"], *SAVING], same_weights),
    "pipeline": (pipeline, same_study),
    "study": (study, same_study),
}


def start(command, folder, log):
    """The process, first of a session of its own."""
    environment = clean_environment(ROOT)
    environment |= {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}", "VIRTUAL_ENV": sys.prefix}
    return subprocess.Popen([*map(str, command)], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)


def once(command, folder):
    """The seconds that a command takes."""
    begin = time.monotonic()
    with open(folder / "log.txt", "ab") as log:
        if start(command, folder, log).wait():
            sys.exit(f"{folder / 'log.txt'}: failed: {' '.join(map(str, command))}")
    return time.monotonic() - begin


def session(number):
    """The processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == number and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def end_session(number):
    """SIGKILL to all of them; those that they started meanwhile follow."""
    while processes := session(number):
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


def unfinished(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if UNFINISHED.fullmatch(path.name))


def interrupted(command, folder, seconds, politely):
    """Problems of one start of a command that is told to stop after so many seconds, and whether it was running then.

    politely: SIGTERM to the process that a user knows of; else SIGKILL to all.
    """
    before = unfinished(folder)  # of a SIGKILL
    with open(folder / "log.txt", "ab") as log:
        process = start(command, folder, log)
    try:
        process.wait(seconds)
        return [], False
    except subprocess.TimeoutExpired:
        pass
    problems = []
    if politely:
        process.terminate()
        status = process.wait(SECONDS_TO_STOP)
        if status != -signal.SIGTERM and status != 0:  # 0: it had just ended
            problems.append(f"status {status} after SIGTERM")
        time.sleep(0.2)
        if session(process.pid):
            problems.append("processes run on after SIGTERM")
        problems += [f"{name}: there after SIGTERM" for name in unfinished(folder) if name not in before and not name.endswith(".draft")]
    end_session(process.pid)
    process.wait()
    return problems, True


def torment(name, folder, kills, rng):
    """Kill a command that often; lines that say what was wrong."""
    make, compare = SUBJECTS[name]
    command = make(folder)
    reference = folder / f"{name}-in-one-go"
    reference.mkdir()
    seconds = once(command, reference)
    problems, killed, runs = unfinished(reference), {True: 0, False: 0}, 0
    begin = time.monotonic()
    while sum(killed.values()) < kills:
        runs += 1
        place = folder / f"{name}-{runs}"
        place.mkdir()
        for _ in range(min(rng.randint(1, KILLS_OF_A_RUN), kills - sum(killed.values()))):
            politely = rng.random() < 1 / 3
            found, running = interrupted(command, place, rng.uniform(0, seconds), politely)
            problems += [f"run {runs}: {problem}" for problem in found]
            killed[politely] += running
            if not running:
                break
        once(command, place)
        differences = compare(reference, place) + [f"{path}: left behind" for path in unfinished(place)]
        problems += [f"run {runs}: {difference}" for difference in differences]
        if not differences:
            shutil.rmtree(place)
    print(
        f"{name:<9} {killed[False]:>3} SIGKILL, {killed[True]:>3} SIGTERM in {runs} runs of {seconds:.0f} s, {time.monotonic() - begin:.0f} s: "
        f"{len(problems)} problems",
        *problems, sep="\n  ", flush=True,
    )  # fmt: skip
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", metavar="WHAT", help="of prepare, distill, train, pipeline, study (default: all)")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="takes what is made (default: a temporary folder, which is removed)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        problems = [problem for name in args.what or SUBJECTS for problem in torment(name, folder, args.kills, random.Random(args.seed))]
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
