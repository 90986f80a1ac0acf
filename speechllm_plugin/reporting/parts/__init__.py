"""PARTS: everything that the page of a report shows, from top to bottom. A new part is one file in this folder and one entry here."""

from speechllm_plugin.reporting.part import HEADER, Part
from speechllm_plugin.reporting.parts.attention_part import attention, attention_charts
from speechllm_plugin.reporting.parts.compression_part import compression, compression_charts
from speechllm_plugin.reporting.parts.duration_part import by_duration, duration_charts
from speechllm_plugin.reporting.parts.failure_part import failed
from speechllm_plugin.reporting.parts.language_part import by_language
from speechllm_plugin.reporting.parts.method_part import method
from speechllm_plugin.reporting.parts.score_part import scored
from speechllm_plugin.reporting.parts.signature_part import signatures
from speechllm_plugin.reporting.parts.slice_part import slice_forests, sliced
from speechllm_plugin.reporting.parts.speed_part import speed
from speechllm_plugin.reporting.parts.test_set_part import test_set
from speechllm_plugin.reporting.parts.training_part import missing_logs, training_charts
from speechllm_plugin.reporting.parts.utterance_part import utterances
from speechllm_plugin.reporting.parts.verdict_part import verdict
from speechllm_plugin.reporting.parts.word_part import word_forests, words

# name -> Part. The name is the id of the part's section, and what other parts need it by.
PARTS: dict[str, Part] = {
    "verdict": Part(
        "Verdict",
        needs=("study", "scores", "slices"),
        compute=verdict,
        template="verdict_part.html",
        within=HEADER,
    ),
    "test_set": Part(
        "Test set",
        needs=("study",),
        compute=test_set,
        template="test_set_part.html",
        within=HEADER,
    ),
    "scores": Part(
        "Scores",
        needs=("study", "metrics", "settings"),
        compute=scored,
        written=("scores",),
    ),
    "languages": Part(
        "By language",
        needs=("study", "scores", "settings"),
        compute=by_language,
        written=("languages",),
        within="scores",
    ),
    "signatures": Part(
        "",
        needs=("study", "scores"),
        compute=signatures,
        template="signature_part.html",
        within="scores",
    ),
    "training": Part(
        "Training",
        needs=("study",),
        compute=missing_logs,
        figures=training_charts,
        template="training_part.html",
    ),
    "duration": Part(
        "Score against duration",
        needs=("study", "scores", "settings"),
        compute=by_duration,
        figures=duration_charts,
        template="duration_part.html",
        written=("durations",),
        link="Duration",
    ),
    "slices": Part(
        "Slices",
        needs=("study", "scores", "context", "options"),
        compute=sliced,
        figures=slice_forests,
        template="slice_part.html",
        written=("slices",),
    ),
    "words": Part(
        "Words by frequency in training",
        needs=("study", "context", "options"),
        compute=words,
        figures=word_forests,
        template="word_part.html",
        written=("words", "unseen_words"),
        link="Words",
    ),
    "failures": Part(
        "Failures",
        needs=("study", "known_languages", "settings"),
        compute=failed,
        template="failure_part.html",
        written=("failures",),
    ),
    "speed": Part(
        "Speed, memory, compression",
        needs=("study",),
        compute=speed,
        written=("speed",),
        link="Speed",
    ),
    "compression": Part(
        "",
        needs=("inspections",),
        compute=compression,
        figures=compression_charts,
        template="compression_part.html",
        within="speed",
    ),
    "attention": Part(
        "Attention to the speech",
        needs=("inspections", "picture_rows"),
        compute=attention,
        figures=attention_charts,
        template="attention_part.html",
        link="Attention",
    ),
    "utterances": Part(
        "Utterances",
        needs=("study", "scores", "example_rows", "options"),
        compute=utterances,
        template="utterance_part.html",
    ),
    "method": Part(
        "Method",
        needs=("settings",),
        compute=method,
        template="method_part.html",
    ),
}
