"""A data folder of two target languages whose texts begin with tags, as a plugin of pytest; tasks, data sets and a model over it."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tiny_model import FEATURE_DIM, SIZES

from speechllm_plugin.data import manifest
from speechllm_plugin.models.config import DFPConfig
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

WORDS = {"en": ["one", "two", "three"], "de": ["eins", "zwei", "drei"], "fr": ["un", "deux", "trois"]}


@pytest.fixture
def tagged_folder(tmp_path):
    """Utterances of 9 to 30 frames with translations into German and French, and a configuration that wants tags."""
    (tmp_path / "target.txt").write_text("".join(f"{word} 1\n" for word in ["<lang:de>", "<lang:en>", "<lang:fr>", *sum(WORDS.values(), [])]))
    (tmp_path / "transcript.txt").write_text("".join(f"{word} 1\n" for word in WORDS["en"]))
    rng, rows = np.random.default_rng(0), []
    for number in range(40):
        language, numbers = ("de", "fr")[number % 4 == 0], rng.integers(0, 3, rng.integers(1, 4))
        np.save(tmp_path / f"{number}.npy", rng.standard_normal((int(rng.integers(9, 30)), FEATURE_DIM)).astype(np.float32))
        source, target = (" ".join(WORDS[lang][word] for word in numbers) for lang in ("en", language))
        n_frames = len(np.load(tmp_path / f"{number}.npy"))
        rows.append(manifest.Utterance(f"u{number}", f"{number}.npy", n_frames, target, "", source, "en", language))
    for split in ("train", "dev"):
        manifest.write(tmp_path / f"{split}.tsv", rows)
    return tmp_path


def make_task(folder, **settings):
    values = {"vocab_filename": "target.txt", "transcript_vocab_filename": "transcript.txt", "input_feat_per_channel": FEATURE_DIM}
    values |= {"prepend_tgt_lang_tag": "true", **settings}
    (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in values.items()))
    return SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(folder), seed=1))


def load(folder, split="dev", **settings):
    task = make_task(folder, **settings)
    task.load_dataset(split, combine=split == "train")
    return task, task.datasets[split]


def model_of(task):
    config = DFPConfig(_name="dfp_transformer", **{**SIZES, "encoder": "transformer", "ctc_layer": 1})
    torch.manual_seed(1)
    model = task.build_model(OmegaConf.structured(config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()
