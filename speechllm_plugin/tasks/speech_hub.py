"""What `from_pretrained` of the models gives: fairseq's hub interface, for speech."""

from pathlib import Path

import numpy as np
import torch
from fairseq import utils
from fairseq.hub_utils import GeneratorHubInterface

from speechllm_plugin.data import audio as audio_files
from speechllm_plugin.data.features import filterbanks


class SpeechHub(GeneratorHubInterface):
    """Models and their task; `cuda()`, `half()` and `models` are fairseq's."""

    def predict(self, audio: str | Path | np.ndarray | torch.Tensor, tgt_lang: str | None = None) -> str:
        """The text that fairseq-generate writes for an utterance, with the settings in `cfg.generation`.

        Args:
            audio: a file, `file:start_sample:num_samples`, or a waveform (num_samples,) of 16 kHz.
            tgt_lang: language of the text, for models whose texts begin with tags.
        """
        waveform = audio_files.read(str(audio), "") if isinstance(audio, (str, Path)) else np.asarray(audio, dtype=np.float32).reshape(-1)
        speech = filterbanks(audio_files.with_bits(waveform, self.task.data_config.sample_bits))
        dataset = self.task.build_dataset_for_inference([speech], [len(speech)])
        batch = dataset.collater([dataset[0]])
        if self.task.data_config.prepend_tgt_lang_tag:
            batch["tag"] = torch.tensor([self.task.language_tag(tgt_lang or self.task.data_config.tgt_lang, "tgt_lang")])
        parameter = next(self.models[0].parameters())
        if parameter.device.type == "cuda":
            batch = utils.move_to_cuda(batch, parameter.device)
        generator = self.task.build_generator(list(self.models), self.cfg.generation)
        best = self.task.inference_step(generator, list(self.models), batch)[0][0]["tokens"].tolist()
        return self.task.target.decode([token for token in best if token not in generator.symbols_to_strip_from_output])
