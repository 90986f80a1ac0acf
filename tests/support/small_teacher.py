"""A data folder of texts and a small text translation model over it, for tests of distillation: words as tokens, random weights."""

import random
from argparse import Namespace
from pathlib import Path

import torch
from fairseq.models.transformer.transformer_legacy import base_architecture

from speechllm_plugin.data import manifest
from speechllm_plugin.distillation.fairseq_teacher import Teacher
from speechllm_plugin.tasks.text_task import SpeechLLMTextToTextTask, TextToTextTaskConfig

NUM_WORDS = 9
LANGUAGES = ("de", "fr")


def make_rows(number, seed=0):
    """Rows of 1 to 7 words in two target languages; ids, texts and lengths differ."""
    rng = random.Random(seed)

    def words(letter):
        return " ".join(f"{letter}{rng.randrange(NUM_WORDS)}" for _ in range(rng.randint(1, 7)))

    rows = []
    for row in range(number):
        texts = {"src_text": words("s"), "src_lang": "en", "tgt_lang": LANGUAGES[row % 2]}
        rows.append(manifest.Utterance(f"utt_{row}", f"{row}.wav", 10 + row, words("t"), **texts))
    assert len({row.src_text for row in rows}) > number / 2
    return rows


def make_folder(folder, tags=False, **splits) -> Path:
    """Manifests by split, vocabularies and config.yaml."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for filename, letter in (("target.txt", "t"), ("transcript.txt", "s")):
        types = [f"{letter}{word}" for word in range(NUM_WORDS)] + [f"<lang:{language}>" for language in LANGUAGES]
        (folder / filename).write_text("".join(f"{symbol} 1\n" for symbol in types), encoding="utf-8")
    (folder / "config.yaml").write_text(
        f"vocab_filename: target.txt\ntranscript_vocab_filename: transcript.txt\nprepend_tgt_lang_tag: {str(tags).lower()}\n"
        "relative_audio_root: sounds\naudio_root: /nowhere\n"
    )
    for split, rows in splits.items():
        manifest.write(folder / f"{split}.tsv", rows)
    return folder


def make_teacher(folder) -> Teacher:
    """Random weights, large enough that probabilities differ."""
    task = SpeechLLMTextToTextTask(TextToTextTaskConfig(data=str(folder), seed=1))
    args = Namespace(
        arch="transformer", encoder_layers=1, decoder_layers=2, encoder_embed_dim=8, decoder_embed_dim=8, encoder_ffn_embed_dim=12,
        decoder_ffn_embed_dim=12, encoder_attention_heads=2, decoder_attention_heads=2, max_source_positions=40, max_target_positions=40,
    )  # fmt: skip
    base_architecture(args)
    model = task.build_model(args)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    return Teacher("random", model.eval(), task, torch.device("cpu"))
