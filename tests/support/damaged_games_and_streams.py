"""What `speechllm simulate`, `stress` and `bench scaling` read, and the corpora of games for `speechllm prepare`."""

import shutil

from damaged_inputs import Case
from damaged_world import both, changed, folder, nothing, removed, write
from game_corpora import FishFillets, Stamps


def fillets(world):
    FishFillets(world / "games").write()


def stamps(world):
    Stamps(world / "games").write()


def header_alone(name):
    return changed(name, lambda content: content.splitlines(keepends=True)[0])


def copied(name, to):
    return lambda world: shutil.copyfile(world / name, world / to)


TEST = "data/tst-COMMON.tsv"
LUA = "games/usr/share/games/fillets-ng/script/airplane/dialogs_cs.lua"
CASES = [
    Case("a simulation of no manifest", nothing, "speechllm simulate --device cpu model --manifest none.tsv", "none.tsv: no such manifest"),
    Case("a simulation of a header", header_alone(TEST), "SIMULATE", f"{TEST}: must have rows, but has only a header"),
    Case("a simulation without sound", changed(TEST, lambda content: content.replace(b"recording", b"record", 1)), "SIMULATE", "must name the sound"),
    Case("a simulation of lost recordings", removed("mustc/en-de/data/tst-COMMON/wav"), "SIMULATE", "no such audio file"),
    Case("a simulation with no model", removed("model"), "SIMULATE", "model: no such model"),
    Case("a simulation with a data folder", nothing, "SIMULATE data", "data: no model folder, as it has no checksums.sha256"),
    Case("a simulation with one model twice", nothing, "SIMULATE model", "two models are named model"),
    Case("a model with a folder's name that leaves", nothing, "SIMULATE ../up=model --output out", "the name of a model must have no slash"),
    Case("a threshold below 0", nothing, "SIMULATE --frame-threshold -1", "--frame-threshold must not be negative"),
    Case("a threshold twice", nothing, "SIMULATE --frame-threshold 4 4", "--frame-threshold names a value twice: 4 4"),
    Case("parts of no sound", nothing, "SIMULATE --segment-ms 0", "--segment-ms must be at least 10"),
    Case("parts of a sample", nothing, "SIMULATE --segment-ms 0.0625", "--segment-ms must be at least 10"),
    Case("parts of nan", nothing, "SIMULATE --segment-ms nan", "--segment-ms must be at least 10"),
    Case("attention of a layer that is not there", nothing, "SIMULATE --attention-layer 2", "--attention-layer must be from 1 to 1"),
    Case("a simulation without a beam", nothing, "SIMULATE --beam 0", "--beam must be positive, but is 0"),
    Case("a simulation with a beam of 10**12", nothing, "SIMULATE --beam 1000000000000", "--beam must be below the"),
    Case("delays into a file", write("out", ""), "SIMULATE --output out", "--output out/scores.tsv cannot be written"),
    Case("a picture of another kind", nothing, "SIMULATE --plot latency.txt", "--plot must end with one of"),
    Case("a picture into a folder", folder("latency.png"), "SIMULATE --plot latency.png", "--plot must be a file"),
    Case("harder than what", nothing, "STRESS", "give --join SECONDS or --snr DB"),
    Case("recordings of a length below 0", nothing, "STRESS --join -5", "--join must be seconds from 1 to 3600, but is -5"),
    Case("a length without end", nothing, "STRESS --join inf", "--join must be seconds from 1 to 3600"),
    Case("a ratio of nan", nothing, "STRESS --snr nan", "--snr must be dB from -100 to 100"),
    Case("a ratio twice", nothing, "STRESS --snr 10 10.0", "--snr names a value twice"),
    Case("joined by what is not there", nothing, "STRESS --join 2 --join-by level", "--join-by level: the manifest has no such column"),
    Case("background of another noise", nothing, "STRESS --snr 5 --noise-from train", "--noise-from train is where --noise background comes from"),
    Case("background of no split", nothing, "STRESS --snr 5 --noise background --noise-from none", "data/none.tsv: no such manifest"),
    Case("background of loud recordings", nothing, "STRESS --snr 5 --noise background", "of background, but 1 s at least must be found"),
    Case("a seed of noise below 0", nothing, "STRESS --snr 5 --seed -1", "--seed must not be negative"),
    Case("noise for a header", header_alone(TEST), "STRESS --snr 5", f"{TEST}: must have rows, but has only a header"),
    Case("noise for lost recordings", removed("mustc/en-de/data/tst-COMMON/wav"), "STRESS --snr 5", "no such audio file"),
    Case("noise where another manifest stands", copied(TEST, "data/tst-COMMON-pink5dB.tsv"), "STRESS --snr 5", "was made with other options"),
    Case("no fish", nothing, "FILLETS --target-lang en", "sound/*/cs: no such folder"),
    Case("fish of a language that is not spoken", fillets, "FILLETS --source-lang de --target-lang en", "--source-lang must be cs or nl"),
    Case("fish into a language that is not there", fillets, "FILLETS --target-lang xx", "--target-lang of en de sv"),
    Case("fish of a split that is not there", fillets, "FILLETS --target-lang en --splits train tst", "--splits must be of train dev test"),
    Case("fish at no speed", fillets, "FILLETS --target-lang en --speed-perturbation 0", "must be between 0.5 and 2.0 times", status=2),
    Case("fish that speak no UTF-8", both(fillets, write(LUA, b"\xff")), "FILLETS --target-lang en", "airplane/dialogs_cs.lua"),
    Case("no stamps", fillets, "TUXPAINT --target-lang en", "stamps: no such folder"),
    Case("an album without stamps", folder("games/usr/share/tuxpaint/stamps"), "TUXPAINT --target-lang en", "no row of the corpus can"),
    Case("stamps of a language that is not spoken", stamps, "TUXPAINT --source-lang xx --target-lang en", "--source-lang must be"),
    Case("no model file to scale", nothing, "speechllm bench scaling none.sh", "none.sh: no such model file"),
    Case("scaling without one", nothing, "SCALING --gpus 2", "--gpus must have 1, with which the others are compared"),
    Case("scaling below 0", nothing, "SCALING --gpus 1 -2", "--gpus must have 1"),
    Case("an update that cannot be shared", nothing, "SCALING --gpus 1 3 --frames 10000", "--frames 10000 cannot be shared among 3 GPUs"),
    Case("batches of no utterance", nothing, "SCALING --frames 100 --rank-frames 0", "a batch of one GPU would have 50 frames, but needs 1,000"),
    Case("scaling of nothing", nothing, "SCALING --frames 0 --rank-frames 0", "are both 0, so that nothing would be measured"),
    Case("scaling without updates", nothing, "SCALING --updates 0", "--updates must be at least 1"),
    Case("workers below 0", nothing, "SCALING --workers -1", "--workers must not be negative, but is -1"),
    Case("scaling into a folder", folder("m.json"), "SCALING --json m.json", "--json must be a file, but m.json is a folder"),
]  # fmt: skip
