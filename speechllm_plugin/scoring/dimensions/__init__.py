"""The dimensions by which a test set is sliced: one file and one entry of DIMENSIONS each; columns of the manifest share a file."""

from speechllm_plugin.scoring.dimensions.columns import ACCENT, AGE, GENDER, SOURCE_LANGUAGE, SPEAKER, TARGET_LANGUAGE
from speechllm_plugin.scoring.dimensions.compression_rate import COMPRESSION_RATE
from speechllm_plugin.scoring.dimensions.duration import DURATION
from speechllm_plugin.scoring.dimensions.native_speaker import NATIVE_SPEAKER
from speechllm_plugin.scoring.dimensions.speaking_rate import SPEAKING_RATE
from speechllm_plugin.scoring.dimensions.text_length import TEXT_LENGTH
from speechllm_plugin.scoring.dimensions.unseen_words import UNSEEN_IN_TARGET, UNSEEN_IN_TRANSCRIPT

DIMENSIONS = {
    "accent": ACCENT,
    "native": NATIVE_SPEAKER,
    "gender": GENDER,
    "age": AGE,
    "speaker": SPEAKER,
    "src_lang": SOURCE_LANGUAGE,
    "tgt_lang": TARGET_LANGUAGE,
    "duration": DURATION,
    "text_length": TEXT_LENGTH,
    "speaking_rate": SPEAKING_RATE,
    "compression_rate": COMPRESSION_RATE,
    "unseen_in_transcript": UNSEEN_IN_TRANSCRIPT,
    "unseen_in_target": UNSEEN_IN_TARGET,
}
