"""A data folder without utterances and model folders with random weights, as large as trained ones, for what starts from these."""

import random
from dataclasses import asdict
from pathlib import Path

import torch

from speechllm_plugin.benchmarking.random_model import MAX_TARGET_POSITIONS, RandomModel
from speechllm_plugin.exporting import exported_model
from speechllm_plugin.files import model_folder
from speechllm_plugin.preparation import config_file, vocabulary
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS_PER_PIECE, WORDS_PER_TEXT = 2, 20  # enough that SentencePiece finds as many pieces
# What a model of MuST-C, trained on utterances of up to 30 s, would have in its folder.
TRAINING_SPEECH = {"utterances": 0, "hours": 0.0, "median_seconds": 5.0, "window_seconds": 20.0, "longest_seconds": 30.0, "pause_seconds": 1.0}


def write_data(folder: Path, vocab_size: int, transcript_vocab_size: int) -> None:
    """Vocabularies of random words, the same in every run, and config.yaml; sound is looked for in the folder.

    Raises:
        ValueError: a size is too small for the letters.
    """
    for name, size, flag in (("spm_target", vocab_size, "--vocab-size"), ("spm_transcript", transcript_vocab_size, "--transcript-vocab-size")):
        draw = random.Random(1)
        words = ["".join(draw.choices(LETTERS, k=draw.randint(3, 9))) for _ in range(WORDS_PER_PIECE * size)]
        texts = [" ".join(words[first : first + WORDS_PER_TEXT]) for first in range(0, len(words), WORDS_PER_TEXT)]
        vocabulary.train(folder / name, texts, size, flag)
    config_file.write(folder / "config.yaml", audio_root=folder, target="spm_target", transcript="spm_transcript", movable=False, specaugment={})


def write_model(folder: Path, data: Path, random_model: RandomModel) -> None:
    """A model folder of a model file, in bfloat16, with the vocabularies of a data folder.

    Raises:
        FileExistsError: there is something at `folder`.
    """
    model = random_model.build(torch.device("cpu"), torch.float32)
    task_flags = {"_name": "speechllm_speech_to_text", "data": str(data), "max_target_positions": MAX_TARGET_POSITIONS}
    task = SpeechLLMSpeechToTextTask.of_checkpoint({"cfg": {"task": task_flags}}, data)
    settings = {
        "arch": random_model.arch,
        "num_updates": 0,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": "bfloat16",
        "vocabularies": task.state_dict()["vocabularies"],
        "features": exported_model.feature_settings(task.data_config),
        "languages": {"task": "recognition", "speech": ["en"], "text": ["en"], "tags": []},
        "training_speech": TRAINING_SPEECH,
        "started_from": {},
        "cfg": exported_model.without_places({"task": task_flags, "model": {**asdict(random_model.cfg), "_name": random_model.arch}}),
    }
    with model_folder.new_folder(folder) as temporary:
        settings["same_tensors"] = model_folder.write_weights(temporary, model.state_dict(), torch.bfloat16)
        exported_model.write_data_config(temporary, task.data_config, sample_bits=16)
        model_folder.write_settings(temporary, settings)
        (temporary / model_folder.CARD_FILE).write_text(f"# {folder.name}\n\nRandom weights of {random_model.path.name}.\n", encoding="utf-8")
