"""Damaged, foreign and malicious checkpoints, in every command that reads one."""

import torch
from damaged_inputs import Case
from damaged_world import append, both, changed, cut, folder, nothing, pickled, removed, saved, write, zipped

NOT_SAFE = "run/last.pt: not a checkpoint that can be read safely (it is damaged, or none); remove it or save it again"
CODE = "which is not data and was not run); remove it or save it again"
READERS = {
    "generate": "GENERATE --path run/last.pt",
    "interactive": "INTERACTIVE --input data/config.yaml",
    "validate": "VALIDATE --path run/last.pt",
    "resume": "TRAIN --restore-file run/last.pt",
    "finetune": "TRAIN --finetune-from-model run/last.pt",
    "encoder": "TRAIN --init-encoder-from run/last.pt",
    "check": "CHECK",
    "import": "speechllm import run/last.pt out.pt",
}
FILES = {
    "cut in half": (cut("run/last.pt", 0.5), NOT_SAFE),
    "cut by a byte": (changed("run/last.pt", lambda content: content[:-1]), NOT_SAFE),
    "empty": (write("run/last.pt", ""), NOT_SAFE),
    "text": (write("run/last.pt", "not a checkpoint\n"), NOT_SAFE),
    "noise": (write("run/last.pt", bytes(range(256)) * 20), NOT_SAFE),
    "zip of other things": (zipped("run/last.pt", readme="hello"), NOT_SAFE),
    "pickle with code": (pickled("run/last.pt"), CODE),
    "newer pickle with code": (pickled("run/last.pt", 4), NOT_SAFE),
}
CASES = [
    Case(f"checkpoint {what}, {reader}", damage, command, message)
    for reader, command in READERS.items()
    for what, (damage, message) in FILES.items()
    if reader in ("generate", "resume", "check", "import") or what in ("cut in half", "pickle with code", "text")
]

OTHER = "run/last.pt: "
NO_MODEL = "has an entry 'model', but this file has none"
MISFIT = "run/last.pt: cannot be used with this task and data ("
FLAGS = "run/last.pt: the checkpoint is of a model with other flags, give the same: Error(s) in loading state_dict for CrossAttentionModel: "
NO_RESUMPTION = "run/last.pt: training cannot go on from this checkpoint ("


def without(*path):
    """A change that takes an entry out of nested dictionaries."""

    def change(state):
        inner = state
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        return state

    return change


def weights(change):
    return lambda state: {**state, "model": change(state["model"])}


def wider(model):
    name = "decoder.output_projection.weight"
    return {**model, name: model[name].new_zeros(99, model[name].size(1))}


def other_arch(state):
    state["cfg"]["model"]["_name"] = "wav2vec9"
    return state


NUMBERS = weights(lambda model: dict.fromkeys(model, 3))
TEACHER = "speechllm distill --data data --split train --mode replace --out s --teacher run/last.pt"
SMALLER = weights(lambda model: dict(list(model.items())[:5]))
CASES += [
    Case("list for a checkpoint, generate", saved("run/last.pt", lambda state: [1, 2]), "GENERATE --path run/last.pt", OTHER),
    Case("list for a checkpoint, resume", saved("run/last.pt", lambda state: [1, 2]), "TRAIN --restore-file run/last.pt", OTHER),
    Case("list for a checkpoint, average", saved("run/checkpoint_1_1.pt", lambda state: [1]), "AVERAGE", NO_MODEL),
    Case("no model, generate", saved("run/last.pt", without("model")), "GENERATE --path run/last.pt", MISFIT),
    Case("no model, resume", saved("run/last.pt", without("model")), "TRAIN --restore-file run/last.pt", NO_RESUMPTION),
    Case("no model, check", saved("run/last.pt", without("model")), "CHECK", NO_MODEL),
    Case("no configuration, generate", saved("run/last.pt", without("cfg")), "GENERATE --path run/last.pt", "run/last.pt: "),
    Case("no configuration, check", saved("run/last.pt", without("cfg")), "CHECK", OTHER),
    Case("no architecture, generate", saved("run/last.pt", without("cfg", "model", "_name")), "GENERATE --path run/last.pt", MISFIT),
    Case("an architecture of others, generate", saved("run/last.pt", other_arch), "GENERATE --path run/last.pt", MISFIT),
    Case("an architecture of others, check", saved("run/last.pt", other_arch), "CHECK", OTHER),
    Case("weights missing, generate", saved("run/last.pt", SMALLER), "GENERATE --path run/last.pt", FLAGS + "Missing key(s) in state_dict: "),
    Case("weights missing, resume", saved("run/last.pt", SMALLER), "TRAIN --restore-file run/last.pt", FLAGS + "Missing key(s) in state_dict: "),
    Case("weights missing, check", saved("run/last.pt", SMALLER), "CHECK", OTHER),
    Case("weights missing, encoder", saved("run/last.pt", SMALLER), "TRAIN --init-encoder-from run/last.pt", OTHER),
    Case("weights of another size, generate", saved("run/last.pt", weights(wider)), "GENERATE --path run/last.pt", FLAGS + "size mismatch for"),
    Case("weights of another size, resume", saved("run/last.pt", weights(wider)), "TRAIN --restore-file run/last.pt", FLAGS + "size mismatch"),
    Case("model of numbers, generate", saved("run/last.pt", NUMBERS), "GENERATE --path run/last.pt", MISFIT),
    Case("model of numbers, average", saved("run/checkpoint_1_2.pt", NUMBERS), "AVERAGE", "checkpoint_1_2.pt: "),
    Case("model is a list, check", saved("run/last.pt", weights(list)), "CHECK", NO_MODEL),
    Case("no training state, resume", saved("run/last.pt", without("extra_state")), "TRAIN --restore-file run/last.pt", NOT_SAFE),
    Case("no iterator, resume", saved("run/last.pt", without("extra_state", "train_iterator")), "TRAIN --restore-file run/last.pt --max-update 3",
         accepted=lambda done, world: torch.load(world / "new/checkpoint_last.pt")["optimizer_history"][-1]["num_updates"] == 3),
    Case("no optimizer's history, resume", saved("run/last.pt", without("optimizer_history")), "TRAIN --restore-file run/last.pt", "run/last.pt: "),
    Case("another size of model, resume", nothing, "TRAIN --restore-file run/last.pt --decoder-layers 2", FLAGS + "Missing key(s)"),
    Case("another architecture, resume", nothing, "TRAIN --restore-file run/last.pt --arch dfp_transformer", "of a model with other flags"),
    Case("another optimizer, resume", nothing, "TRAIN --restore-file run/last.pt --optimizer sgd", "Optimizer does not match"),
    Case("no such checkpoint, resume", nothing, "TRAIN --restore-file run/none.pt", "--restore-file run/none.pt: no such file"),
    Case("no such checkpoint, finetune", nothing, "TRAIN --finetune-from-model run/none.pt", "--finetune-from-model run/none.pt does not exist"),
    Case("no such checkpoint, generate", nothing, "GENERATE --path run/none.pt", "Model file not found: run/none.pt"),
    Case("no such checkpoint, interactive", removed("run/last.pt"), "INTERACTIVE --input data/config.yaml", "Model file not found: run/last.pt"),
    Case("no such checkpoint, check", removed("run/last.pt"), "CHECK", "run/last.pt: no such file"),
    Case("no such checkpoint, import", nothing, "speechllm import run/none.pt out.pt", "run/none.pt: no such file"),
    Case("no checkpoint named, generate", nothing, "GENERATE", "--path required for generation!"),
    Case("no checkpoint named, validate", nothing, "VALIDATE", "--path"),
    Case("a folder for a checkpoint, generate", folder("run/last.pt"), "GENERATE --path run/last.pt", "run/last.pt: "),
    Case("a folder for a checkpoint, check", folder("run/last.pt"), "CHECK", "run/last.pt: "),
    Case("one of two cut, average", cut("run/checkpoint_1_1.pt", 0.9), "AVERAGE", "run/checkpoint_1_1.pt: not a checkpoint that can be read safely"),
    Case("one of two malicious, average", pickled("run/checkpoint_1_2.pt"), "AVERAGE", CODE),
    Case("too few, average", removed("run/checkpoint_1_1.pt"), "AVERAGE", "--num 2 needs as many checkpoints by updates, but 1 of the files"),
    Case("no folder, average", removed("run"), "AVERAGE", "--inputs must be a folder with checkpoints, but run is none"),
    Case("file for a folder, average", both(removed("run"), write("run", "x")), "AVERAGE", "--inputs must be a folder with checkpoints"),
    Case("weights missing in one, average", saved("run/checkpoint_1_1.pt", SMALLER), "AVERAGE", "must have the same tensors as"),
    Case("a checkpoint of ours, import", nothing, "speechllm import run/last.pt out.pt", OTHER),
    Case("a speech model for a teacher, distill", nothing, TEACHER,
         "must be trained with --task speechllm_text_to_text, but is with speechllm_speech_to_text"),
    Case("cut, distill", cut("run/last.pt", 0.5), TEACHER, NOT_SAFE),
    Case("bytes behind the end", append("run/last.pt", b"\0" * 10), "AVERAGE", accepted=lambda done, world: (world / "mean.pt").exists()),
]  # fmt: skip
