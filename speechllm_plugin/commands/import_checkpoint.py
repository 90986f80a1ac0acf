"""`speechllm import`: a checkpoint of the study's code becomes one of ours, as fairseq-train would have written it."""

from dataclasses import fields

import torch
from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropyConfig
from speechllm_plugin.files import checkpoint_file
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.models import reference
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig


def add_arguments(parser):
    parser.add_argument("reference", metavar="REFERENCE.pt", help="checkpoint of the study's code; nothing that it holds is run")
    parser.add_argument("output", metavar="OUT.pt", help="the checkpoint to write, for fairseq-generate --path and --init-encoder-from")
    parser.add_argument("--data", metavar="FOLDER", help="data folder with its vocabularies: checks their sizes, and the checkpoint will name them")


def run(args):
    checkpoint = checkpoint_file.load(args.reference)
    saved = reference.convert(checkpoint, args.reference)
    model = reference.build(saved, args.reference)
    task = SpeechToTextTaskConfig(**saved.task)
    vocabularies = {}
    if args.data is not None:
        task.data = args.data
        vocabularies = vocabularies_of(SpeechLLMSpeechToTextTask(task), saved)
    state = {
        "args": None,
        "cfg": configuration(saved, task, vars(checkpoint["args"])),
        "model": model.state_dict(),
        "criterion": None,
        "optimizer_history": [history(checkpoint)],
        "task_state": {"vocabularies": vocabularies} if vocabularies else {},
        "extra_state": {"train_iterator": {"version": 2, "epoch": 1, "iterations_in_epoch": 0, "shuffle": True}},
    }
    with replacing(args.output) as temporary:
        torch.save(state, temporary)
    print(f"{args.output}: {description(saved, model, vars(checkpoint['args']))}")


def vocabularies_of(task, saved) -> dict:
    """The digests of the vocabularies that the model uses, whose sizes must be those of its weights."""
    architectures()[saved.arch].model.build_model(saved.cfg, task).load_state_dict(saved.weights)
    return {name: digest for name, digest in task.state_dict()["vocabularies"].items() if name == "target" or saved.cfg.ctc_layer}


def configuration(saved, task, args: dict) -> dict:
    """The whole configuration in fairseq's form, its parts for training at their defaults."""
    criterion = CTCCrossEntropyConfig()
    for name in ("label_smoothing", "ctc_weight"):
        setattr(criterion, name, args.get(name, getattr(criterion, name)))
    saved.cfg._name, task._name, criterion._name = saved.arch, "speechllm_speech_to_text", "ctc_cross_entropy"
    whole = OmegaConf.structured(FairseqConfig(model=saved.cfg, task=task, criterion=criterion))
    return OmegaConf.to_container(whole, resolve=True, enum_to_str=True)


def history(checkpoint) -> dict:
    """fairseq's record of the optimizer, which is not taken over; the number of updates is."""
    updates = max((entry.get("num_updates", 0) for entry in checkpoint.get("optimizer_history") or []), default=0)
    return {"criterion_name": "CTCCrossEntropy", "optimizer_name": "none", "lr_scheduler_state": {"best": None}, "num_updates": updates}


def description(saved, model, args: dict) -> str:
    """Architecture, size, and the flags that are not at their defaults; what training on would do in another way."""
    weights = {name: len(saved.weights[name]) for name in ("decoder.embedding.weight", "encoder.ctc_head.bias") if name in saved.weights}
    target, *labels = weights.values()
    flags = [f"--arch {saved.arch}"]
    for field in fields(saved.cfg):
        value = getattr(saved.cfg, field.name)
        if field.name != "_name" and value != field.default:
            flags.append(f"--{field.name.replace('_', '-')}" + ("" if value is True else f" {value}"))
    vocabulary = f"{target:,} target types" + "".join(f", {size - 1:,} transcript types" for size in labels)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    others = reference.other_training(args, saved.cfg)
    note = f"; training on would be without {', '.join(others)}" if others else ""
    if saved.cfg.ctc_compression_max_length:
        note += "; how the study's code merges beyond ctc_compress_max_out_size is not known to be the same as here"
    return f"{args['arch']} with {parameters:,} parameters, {vocabulary}; {' '.join(flags)}{note}"
