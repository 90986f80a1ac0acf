"""What training and decoding took, from fairseq's logs."""

import statistics

from speechllm_plugin.reporting.runs import Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.table import Column, Section, Table


def speed_table(study: Study) -> Table:
    """A row for each system, means over its seeds; a dash where no log says it."""
    audio_seconds = float(study.durations.sum())
    rows = []
    for system in study.systems:
        training = [run.training for run in system.runs if run.training]
        decoding = [run.decoding for run in system.runs if run.decoding and not _is_of_another_set(run, study)]
        seconds = _mean(each.seconds for each in decoding)
        rows.append(
            [
                system.name,
                formats.number(_mean(each.frames_per_second for each in training), 0),
                formats.number(_mean(each.sentences_per_second for each in decoding), 1),
                formats.number(_mean(each.tokens_per_second for each in decoding), 0),
                formats.NONE if seconds is None else formats.duration(seconds),
                formats.number(audio_seconds / seconds if seconds else None, 0),
                formats.number(_mean(each.process_mebibytes for each in decoding), 0),
                formats.number(_mean(each.gpu_mebibytes for each in decoding), 0),
            ]
        )
    columns = [Column("system", is_text=True), Column("frames/s", "training")]
    columns += [Column(heading, "decoding") for heading in ("sentences/s", "tokens/s", "time", "× real time", "process MiB", "GPU MiB")]
    notes = ["From fairseq's logs: on whatever else the machines did. Frames are 10 ms of speech; memory is the peak while decoding."]
    return Table("speed", f"Training and decoding of {study.split}", columns, [Section("", rows)], notes)


def missing_logs(study: Study) -> list[str]:
    """What the runs' folders lack."""
    lacking = []
    for system in study.systems:
        for run in system.runs:
            training, decoding = run.folder / "train.log", run.folder / f"generate-{study.split}.log"
            if run.training is None:
                lacking.append(f"{training} is not there")
            elif not run.training.curves:
                lacking.append(f"{training} has no epoch in JSON lines (--log-format json)")
            elif run.training.num_damaged:
                lacking.append(f"{training}: {run.training.num_damaged} damaged lines do not count")
            if run.decoding is None:
                lacking.append(f"{decoding} is not there")
            elif _is_of_another_set(run, study):
                lacking.append(
                    f"{decoding} is of {run.decoding.num_sentences} sentences, but the test set has {len(study.utterances)}: it does not count"
                )
    return lacking


def _is_of_another_set(run, study):
    return run.decoding is not None and run.decoding.num_sentences not in (None, len(study.utterances))


def _mean(numbers):
    numbers = [number for number in numbers if number is not None]
    return statistics.mean(numbers) if numbers else None
