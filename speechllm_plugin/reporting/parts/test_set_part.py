"""What the systems were tested on."""

from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables import formats


def test_set(study: Study) -> Content:
    """(name, value) of what is known about the test set."""
    utterances = study.utterances
    pairs = sorted({(utterance.src_lang, utterance.tgt_lang) for utterance in utterances} - {("", "")})
    shown = [one if one == other else f"{one or '?'} → {other or '?'}" for one, other in pairs]
    speakers = {utterance.speaker for utterance in utterances} - {""}
    facts = [("split", study.split), ("utterances", f"{len(utterances):,}"), ("speech", formats.duration(float(study.durations.sum())))]
    facts += [("languages" if len(shown) > 1 else "language", ", ".join(shown))] if shown else []
    facts += [("speakers", f"{len(speakers):,}")] if speakers else []
    return Content(numbers=[*facts, ("data", str(study.data))])
