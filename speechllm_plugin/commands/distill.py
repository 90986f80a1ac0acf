"""`speechllm distill`: a data folder to train a student on what a teacher says.

The teacher is a checkpoint of `--task speechllm_text_to_text` (`--teacher`), or has translated already (`--teacher-output`: the KD file
of `speechllm translate`, or what fairseq-generate printed). Its translations are joined with the rows by id and source text.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechllm_plugin.data import manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.distillation import data_folder, modes, summary, teacher_output
from speechllm_plugin.files.locks import locked_file, locked_folder
from speechllm_plugin.files.separated_paths import check_one_path

if TYPE_CHECKING:  # it waits for torch and fairseq, which what reads translations does not need
    from speechllm_plugin.distillation.fairseq_teacher import Teacher

# Flags that mean something only together with another one: flag -> which. Their defaults are in DEFAULTS, so that a given flag shows.
NEEDS = {
    "beam": "teacher", "lenpen": "teacher", "max_len_a": "teacher", "max_len_b": "teacher", "max_tokens": "teacher", "cpu": "teacher",
    "fp16": "teacher", "word_level": "teacher", "kbest": "mode", "empty": "mode", "report": "mode",
}  # fmt: skip
CONTRADICTIONS = [("teacher", "teacher_output"), ("mode", "word_level")]
CONTRADICTIONS += [(name, "word_level") for name in ("beam", "lenpen", "max_len_a", "max_len_b")]
DEFAULTS = {"beam": 5, "lenpen": 1.0, "max_len_a": 2.0, "max_len_b": 20, "max_tokens": 12000}
MANY_K = "all that --teacher-output has, or --beam"


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="prepared data folder of the student")
    add("--config-yaml", default="config.yaml", metavar="NAME", help="its data configuration (default: config.yaml)")
    add("--split", required=True, metavar="NAME", help="distill DIR/NAME.tsv, e.g. train")
    add("--teacher", metavar="CHECKPOINT", help="a checkpoint of --task speechllm_text_to_text, which translates now")
    add("--teacher-output", nargs="+", metavar="FILE", help="a KD file, or the output of fairseq-generate (of all shards)")
    add("--teacher-data", metavar="DIR", help="data folder that the teacher was trained with (default: --data)")
    add("--mode", choices=list(modes.MODES), help="; ".join(f"{name}: {mode.help}" for name, mode in modes.MODES.items()))
    add("--kbest", type=int, metavar="K", help=f"translations per row (default: 1; kbest, interpolate, sampled: {MANY_K})")
    add("--empty", choices=["reference"], help="take tgt_text where the teacher says nothing, instead of ending with an error")
    add("--report", metavar="FILE", help="write FILE.md and FILE.json about the translations")
    add("--word-level", type=int, metavar="K", help="instead of --mode: store the K most probable tokens at every target position")
    add("--out", required=True, metavar="DIR", help="data folder to write; with --word-level the cache of the split, CACHE/SPLIT")
    search = parser.add_argument_group("with --teacher")
    search.add_argument("--beam", type=int, help=f"beam of the search (default: {DEFAULTS['beam']})")
    search.add_argument("--lenpen", type=float, help=f"length penalty, above 1 longer (default: {DEFAULTS['lenpen']})")
    search.add_argument("--max-len-a", type=float, metavar="A", help=f"at most A * source tokens + B tokens (default: {DEFAULTS['max_len_a']})")
    search.add_argument("--max-len-b", type=int, metavar="B", help=f"see --max-len-a (default: {DEFAULTS['max_len_b']})")
    search.add_argument("--max-tokens", type=int, metavar="N", help=f"tokens of a batch (default: {DEFAULTS['max_tokens']})")
    search.add_argument("--cpu", action="store_true", default=None, help="run the teacher on the CPU, also where there is a GPU")
    search.add_argument("--fp16", action="store_true", default=None, help="run the teacher in half precision")


def run(args: Namespace) -> None:
    check_arguments(args)
    config, path = DataConfig.load(Path(args.data) / args.config_yaml), Path(args.data) / f"{args.split}.tsv"
    rows = manifest.read(path)
    teacher_output.check_sources(path, rows)
    if args.word_level is not None:
        with locked_file(args.out, "speechllm distill"):
            store_word_level(args, rows)
        return
    with locked_folder(args.out, "speechllm distill"):
        write_folder(args, config, rows)


def write_folder(args: Namespace, config: DataConfig, rows: Sequence[manifest.Utterance]) -> None:
    """Make the data folder, and say what is in it."""
    options = {"--data": Path(args.data).resolve().as_posix(), "--split": args.split, "--mode": args.mode, "--kbest": args.kbest}
    data_folder.check(args.data, args.out, args.split, options)
    hypotheses, teacher = run_teacher(args, rows) if args.teacher is not None else read_teacher(args, rows)
    mode, k = modes.MODES[args.mode], number_used(args, len(hypotheses[0]))
    used = [mode.choose(row, best[:k]) if mode.choose else best[:k] for row, best in zip(rows, hypotheses)]
    about = summary.make(rows, used, data=str(args.data), split=args.split, teacher=teacher, mode=args.mode)
    if args.report is not None:
        print(*summary.write(args.report, about))
    new_rows = modes.apply(args.mode, rows, modes.filled(rows, used, take_reference=args.empty == "reference"))
    written = data_folder.write(config, args.out, args.split, new_rows, mode.settings, options)
    print(f"{written}: {len(new_rows):,} rows; {summary.summary(about)}")


def check_arguments(args: Namespace) -> None:
    """Raise ValueError where flags contradict each other or have no effect, and set the defaults of the others."""
    check_one_path("--out", args.out)
    if args.teacher is None and args.teacher_output is None:
        raise ValueError("give the teacher: --teacher CHECKPOINT, or its translations: --teacher-output FILE")
    if args.mode is None and args.word_level is None:
        raise ValueError(f"give what to make: --mode {{{','.join(modes.MODES)}}}, or --word-level K")
    for one, other in CONTRADICTIONS:
        if getattr(args, one) is not None and getattr(args, other) is not None:
            raise ValueError(f"{_flag(one)} and {_flag(other)} exclude each other: leave out one")
    for name, needed in NEEDS.items():
        if getattr(args, name) is not None and getattr(args, needed) is None:
            raise ValueError(f"{_flag(name)} has an effect only with {_flag(needed)}: leave it out")
    for name, default in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    for name in ("kbest", "word_level", "beam", "max_tokens"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"{_flag(name)} must be at least 1, but is {getattr(args, name)}")
    if args.kbest is not None and args.kbest > 1 and args.mode in modes.OF_THE_BEST:
        raise ValueError(f"--mode {args.mode} takes the best translation: --kbest must be 1 or left out, but is {args.kbest}")
    if args.teacher is not None and args.kbest is not None and args.kbest > args.beam:
        raise ValueError(f"--kbest must be at most --beam ({args.beam}), but is {args.kbest}")


def number_used(args: Namespace, available: int) -> int:
    """How many translations of each row go on."""
    k = args.kbest or modes.MODES[args.mode].default_k or available
    if k > available:
        raise ValueError(f"{args.teacher_output[0]}: has {available} translations per row, but --kbest is {k}: lower it or translate again")
    return k


def run_teacher(args: Namespace, rows: Sequence[manifest.Utterance]) -> tuple[list, str]:
    """Translate what is not translated yet, in OUT/teacher/SPLIT.tsv; the hypotheses of every row, and the teacher's name."""
    # What reads translations waits for neither torch nor fairseq.
    from speechllm_plugin.distillation.checkpoint_teacher import TeacherSearch, translate

    teacher = load_teacher(args)
    k = args.kbest or modes.MODES[args.mode].default_k or args.beam
    search = TeacherSearch(args.beam, args.lenpen, args.max_len_a, args.max_len_b)
    path = Path(args.out) / "teacher" / f"{args.split}.tsv"
    return translate(teacher, rows, path, args.split, k, search, fp16=bool(args.fp16), max_tokens=args.max_tokens), teacher.name


def read_teacher(args: Namespace, rows: Sequence[manifest.Utterance]) -> tuple[list, str]:
    """The hypotheses of every row from files, and whose they are."""

    def renderings() -> Callable[[str], list[str]]:
        from speechllm_plugin.distillation.fairseq_teacher import open_student

        codec = open_student(args.teacher_data or args.data, args.config_yaml).transcript
        return lambda text: codec.renderings(text) if codec is not None else []

    return teacher_output.load(args.teacher_output, rows, renderings), teacher_output.name_of_teacher(args.teacher_output[0])


def store_word_level(args: Namespace, rows: Sequence[manifest.Utterance]) -> None:
    """Write the cache of the split: the K most probable tokens at every position of the rows' targets."""
    from speechllm_plugin.distillation.checkpoint_teacher import store_top_k

    teacher = load_teacher(args)
    store_top_k(teacher, rows, args.data, args.config_yaml, args.split, args.word_level, args.out, max_tokens=args.max_tokens)
    print(f"{args.out}: the {args.word_level} most probable tokens at every position of {len(rows):,} targets")


def load_teacher(args: Namespace) -> "Teacher":
    from speechllm_plugin.distillation.fairseq_teacher import Teacher

    return Teacher.load(args.teacher, args.teacher_data or args.data, cpu=bool(args.cpu), fp16=bool(args.fp16))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
