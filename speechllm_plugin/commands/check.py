"""`speechllm check`: tests of a trained model on real utterances, as a table of what passed.

The results stand beside the checkpoint, in NAME.check.json and NAME.check.md. The keys of the JSON file: checkpoint, sha256 (of it), arch,
split, manifest_sha256, utterances (ids, the longest first), device, torch, passed, and checks with name, result (pass, fail, n/a),
deviation, bound, meaning, note. Most deviations are relative to the size of such numbers: see checking/reading.py.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from tqdm import tqdm

from speechllm_plugin.checking import outcome_table
from speechllm_plugin.checking.checks import CHECKS, check
from speechllm_plugin.checking.subject import Subject
from speechllm_plugin.files.atomic import check_writable
from speechllm_plugin.files.digests import file_digest
from speechllm_plugin.host.devices import device_name
from speechllm_plugin.text.progress import DELAY_SECONDS


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="of fairseq-train, `speechllm average` or `speechllm import`")
    parser.add_argument("--data", required=True, metavar="FOLDER", type=Path, help="data folder with the vocabularies that it was trained with")
    parser.add_argument("--split", default="dev", metavar="NAME", help="take the utterances from NAME.tsv in that folder (default: %(default)s)")
    parser.add_argument(
        "--num-utterances",
        type=int,
        default=8,
        metavar="N",
        help="the shortest, the longest, and between them at equal steps (default: %(default)s)",
    )
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument(
        "--out", metavar="FILE.json", type=Path, help="write here, and to FILE.md (default: beside the checkpoint, named as it with .check.json)"
    )


def run(args: Namespace) -> None:
    if args.num_utterances < 2:
        raise ValueError(f"--num-utterances must be at least 2, as batches are compared with single ones, but is {args.num_utterances}")
    out = args.out or args.checkpoint.with_suffix(".check.json")
    if out.suffix != ".json":
        raise ValueError(f"--out must end in .json, but is {out}")
    check_writable("--out", out)
    subject = Subject.load(args.checkpoint, args.data, args.split, args.num_utterances, args.device)
    about = {
        "checkpoint": args.checkpoint.name,
        "sha256": file_digest(args.checkpoint),
        "arch": subject.arch,
        "split": args.split,
        "manifest_sha256": file_digest(args.data / f"{args.split}.tsv"),
        "utterances": subject.ids,
        "device": device_name(subject.device),
        "torch": torch.__version__,
    }
    print(f"{args.checkpoint}: {subject.arch}, {len(subject.ids)} utterances of {args.split}\n{outcome_table.heading()}", flush=True)
    findings = []
    with tqdm(CHECKS, unit="check", delay=DELAY_SECONDS) as progress:
        for name in progress:
            progress.set_description(name)
            findings.append(check(subject, name))
            progress.write(outcome_table.line(findings[-1]))
    outcome_table.write(out, about, findings)
    print(f"written: {out} and {out.with_suffix('.md').name}")
    failed = outcome_table.failed(findings)
    if failed:
        raise ValueError(f"{args.checkpoint}: {len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")
