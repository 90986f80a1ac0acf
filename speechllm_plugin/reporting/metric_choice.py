"""The metrics of a report: those that were asked for, else those of the task."""

from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.scoring.metrics import Metric, chosen

RECOGNITION = ("wer_normalised", "wer", "cer_normalised", "cer")
TRANSLATION = ("bleu", "chrf", "ter")


def chosen_metrics(study: Study, options: Options) -> list[Metric]:
    """The named METRICS (or comet), else those of the task.

    Raises:
        ValueError: comet is named and not installed.
    """
    names = options.metrics or (RECOGNITION if study.is_recognition else TRANSLATION)
    sources = [utterance.src_text for utterance in study.utterances]
    return chosen(names, sources)
