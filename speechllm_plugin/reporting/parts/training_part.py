"""The curves of training, from fairseq's logs."""

from speechllm_plugin.reporting.figures import charts
from speechllm_plugin.reporting.figures.svg import Chart
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.study import Run, Study


def missing_logs(study: Study) -> Content:
    """What the runs' folders lack of the logs, a sentence each."""
    return Content(numbers=[sentence for system in study.systems for run in system.runs for sentence in _missing(study, run)])


def training_charts(study: Study, missing: list[str]) -> list[Chart]:
    return charts.training_curves(study.systems)


def _missing(study: Study, run: Run) -> list[str]:
    training, decoding = run.folder / "train.log", run.folder / f"generate-{study.split}.log"
    lacking = []
    if run.training is None:
        lacking.append(f"{training} is not there")
    elif not run.training.curves:
        lacking.append(f"{training} has no epoch in JSON lines (--log-format json)")
    elif run.training.num_damaged:
        lacking.append(f"{training}: {run.training.num_damaged} damaged lines do not count")
    if run.decoding is None:
        lacking.append(f"{decoding} is not there")
    elif not study.is_whole_set(run.decoding):
        lacking.append(f"{decoding} is of {run.decoding.num_sentences} sentences, but the test set has {len(study.utterances)}: it does not count")
    return lacking
