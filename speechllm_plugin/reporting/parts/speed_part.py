"""What training and decoding took, from fairseq's logs."""

import statistics
from collections.abc import Callable, Iterable

from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.table import Column, Section, Table


def speed(study: Study) -> Content:
    """A row for each system, speeds and memory being means over its seeds; a dash where no log says it."""
    audio_seconds = float(study.durations.sum())
    rows = []
    for system in study.systems:
        training = [run.training for run in system.runs if run.training]
        decoding = [run.decoding for run in system.runs if run.decoding and study.is_whole_set(run.decoding)]
        seconds = _mean(each.seconds for each in decoding)
        rows.append(
            [
                system.name,
                _range((each.num_updates for each in training), lambda number: f"{number:,}"),
                _range((each.seconds for each in training), formats.duration),
                _range((run.num_averaged for run in system.runs), str),
                formats.number(_mean(each.frames_per_second for each in training), 0),
                formats.number(_mean(each.gpu_mebibytes for each in training), 0),
                formats.number(_mean(each.sentences_per_second for each in decoding), 1),
                formats.number(_mean(each.tokens_per_second for each in decoding), 0),
                formats.NO_VALUE if seconds is None else formats.duration(seconds),
                formats.number(audio_seconds / seconds if seconds else None, 0),
                formats.number(_mean(each.process_mebibytes for each in decoding), 0),
                formats.number(_mean(each.gpu_mebibytes for each in decoding), 0),
            ]
        )
    columns = [Column("system", is_text=True)]
    columns += [Column(heading, "training") for heading in ("updates", "time", "averaged", "frames/s", "GPU MiB")]
    columns += [Column(heading, "decoding") for heading in ("sentences/s", "tokens/s", "time", "× real time", "process MiB", "GPU MiB")]
    notes = [
        "From fairseq's logs: on whatever else the machines did. Frames are 10 ms of speech; memory is the peak.",
        "Updates, time and averaged checkpoints of a training; where seeds differ, the least and the most.",
    ]
    return Content([Table("speed", f"Training and decoding of {study.split}", columns, [Section("", rows)], notes)])


def _range(numbers: Iterable[float | None], form: Callable[[float], str]) -> str:
    """`5`, or `4 to 5`: those that are known."""
    known = sorted({number for number in numbers if number is not None})
    texts = dict.fromkeys(map(form, (known[0], known[-1]))) if known else [formats.NO_VALUE]
    return " to ".join(texts)


def _mean(numbers: Iterable[float | None]) -> float | None:
    """Of those that are known."""
    known = [number for number in numbers if number is not None]
    return statistics.mean(known) if known else None
