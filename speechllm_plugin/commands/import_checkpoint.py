"""`speechllm import`: a checkpoint of the study's code becomes one of ours."""

from argparse import ArgumentParser, Namespace
from dataclasses import fields

from speechllm_plugin.files import checkpoint_file
from speechllm_plugin.files.separated_paths import check_one_path
from speechllm_plugin.models import reference
from speechllm_plugin.tasks.imported_checkpoint import ImportedCheckpoint, import_checkpoint


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REFERENCE.pt", help="checkpoint of the study's code; nothing that it holds is run")
    parser.add_argument("output", metavar="OUT.pt", help="the checkpoint to write, for fairseq-generate --path and --init-encoder-from")
    parser.add_argument("--data", metavar="FOLDER", help="data folder with its vocabularies: checks their sizes, and the checkpoint will name them")


def run(args: Namespace) -> None:
    check_one_path("OUT.pt", args.output)
    imported = import_checkpoint(args.reference, args.data)
    checkpoint_file.save(imported.state, args.output)
    print(f"{args.output}: {description(imported)}")


def description(imported: ImportedCheckpoint) -> str:
    """Architecture, size, and the flags that are not at their defaults; what training on would do in another way."""
    saved, model, args = imported.saved, imported.model, imported.args
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
