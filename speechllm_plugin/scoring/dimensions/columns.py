"""Slices by columns of the manifest."""

from speechllm_plugin.scoring.dimension import Dimension, column

# Common Voice's names (one of them misspelt there), from young to old.
AGES = ("teens", "twenties", "thirties", "forties", "fourties", "fifties", "sixties", "seventies", "eighties", "nineties")

ACCENT = Dimension("Accent", "Accent of the speaker, as the manifest names it.", column("accent"))
GENDER = Dimension("Gender", "Gender of the speaker, as the manifest names it.", column("gender"))
AGE = Dimension("Age", "Age of the speaker, as the manifest names it.", column("age", AGES))
SPEAKER = Dimension("Speaker", "Speaker, as the manifest names them.", column("speaker"))
SOURCE_LANGUAGE = Dimension("Source language", "Language of the speech.", column("src_lang"))
TARGET_LANGUAGE = Dimension("Target language", "Language of the reference.", column("tgt_lang"))
