"""The policy of `speechllm simulate` as an agent of SimulEval 1.1; docs/simultaneous.md has the command."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import soxr
from simuleval.agents import SpeechToTextAgent
from simuleval.agents.actions import Action, ReadAction, WriteAction
from simuleval.utils import entrypoint

from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.simultaneous.incremental_model import IncrementalModel
from speechllm_plugin.simultaneous.latency_units import UNITS
from speechllm_plugin.simultaneous.streams import Listener, Writer


@entrypoint
class AlignAttAgent(SpeechToTextAgent):
    """Writes whole words, by AlignAtt.

    Its text is that of `speechllm simulate` for sound of 16 kHz, but SimulEval lets no sent word change: what would come to a word later, as
    a full stop, is lost. Other sound is resampled as it arrives.
    """

    def __init__(self, args: Namespace):
        data = Path(args.data or Path(args.model).parent)
        self.model = IncrementalModel.load(Path(args.model), data, args.agent_device, beam=args.beam, layer=args.attention_layer)
        super().__init__(args)

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        parser.add_argument("--model", required=True, help="folder that `speechllm export` wrote, or a checkpoint")
        parser.add_argument("--data", help="data folder of a checkpoint")
        parser.add_argument("--frame-threshold", type=int, default=8, help="states of speech (40 ms each)")
        parser.add_argument("--attention-layer", type=int, help="the one of the decoder that counts, from 1 (default: all)")
        parser.add_argument("--beam", type=int, default=5)
        parser.add_argument("--language", help="of the text, for models of several")
        parser.add_argument("--agent-device", help="cpu, cuda or cuda:N")

    def reset(self) -> None:
        """Begin the next utterance."""
        super().reset()
        tag = self.model.task.language_tag(self.args.language, "--language") if self.model.task.data_config.prepend_tgt_lang_tag else None
        self.listener, self.num_taken, self.num_sent, self.resampler = Listener(self.model), 0, 0, None
        self.writer = Writer(self.model, self.args.frame_threshold, UNITS[self.args.eval_latency_unit], tag)

    def policy(self) -> Action:
        """Take what has arrived since the last call, and write what may be written."""
        states = self.states
        samples = np.array(states.source[self.num_taken :], dtype=np.float32)
        self.num_taken = len(states.source)
        if states.source_sample_rate not in (0, SAMPLE_RATE):
            self.resampler = self.resampler or soxr.ResampleStream(states.source_sample_rate, SAMPLE_RATE, 1, dtype="float32")
            samples = self.resampler.resample_chunk(samples, last=states.source_finished)
        self.writer.write(self.listener.hear(samples, states.source_finished))
        units, self.num_sent = self.writer.units[self.num_sent :], len(self.writer.units)
        if not units and not states.source_finished:
            return ReadAction()
        return WriteAction(("" if self.args.eval_latency_unit == "char" else " ").join(units), finished=states.source_finished)
