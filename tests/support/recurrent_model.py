"""A small recurrent model that both this project's search and fairseq's can drive; every token depends on the whole text and the speech."""

import torch
from fairseq.data import Dictionary
from fairseq.models import (
    FairseqEncoder,
    FairseqEncoderDecoderModel,
    FairseqIncrementalDecoder,
)

FEATURE_DIM, STATE_DIM, MAX_POSITIONS = 3, 8, 40
NUM_SPECIAL = 4  # of fairseq's Dictionary: bos, pad, eos, unk


def make_dictionary(vocab_size):
    dictionary = Dictionary()
    for word in range(vocab_size - NUM_SPECIAL):
        dictionary.add_symbol(f"w{word}")
    return dictionary


class TextState:
    """State of the recurrent decoder for search: memory (B, K, C), speech (B, C)."""

    def __init__(self, speech, num_hypotheses):
        self.speech, self.memory = speech, torch.zeros(len(speech), num_hypotheses, speech.size(1))

    def reserve(self, num_positions):
        """A memory of fixed size has room for all."""

    def reorder(self, source_beam):
        self.memory.copy_(self.memory.gather(1, source_beam[:, :, None].expand_as(self.memory)))

    def select(self, sentences):
        self.speech, self.memory = self.speech[sentences], self.memory[sentences]


class RecurrentDecoder(FairseqIncrementalDecoder):
    """Logits depend on every token so far and on the speech. Serves the project's protocol and fairseq's."""

    def __init__(self, dictionary):
        super().__init__(dictionary)
        vocab_size = len(dictionary)
        self.embed = torch.nn.Embedding(vocab_size, STATE_DIM)
        self.cell = torch.nn.GRUCell(STATE_DIM, STATE_DIM)
        self.project = torch.nn.Linear(STATE_DIM, vocab_size)
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter)
        self.batch_sizes = []

    def max_positions(self):
        return MAX_POSITIONS

    def advance(self, tokens, memory, speech):
        return self.cell(self.embed(tokens), memory + speech)

    def start(self, speech, num_hypotheses, max_tokens):
        return TextState(speech, num_hypotheses)

    def step(self, last_tokens, state):
        speech = state.speech[:, None].expand(-1, last_tokens.size(1), -1)
        flat = self.advance(last_tokens.flatten(), state.memory.flatten(0, 1), speech.flatten(0, 1))
        state.memory.copy_(flat.view(state.memory.shape))
        self.batch_sizes.append(last_tokens.size(0))
        return self.project(state.memory)

    def forward(self, prev_output_tokens, encoder_out, incremental_state):
        speech = encoder_out["encoder_out"][0]
        memory = self.get_incremental_state(incremental_state, "memory")
        memory = torch.zeros_like(speech) if memory is None else memory["memory"]
        memory = self.advance(prev_output_tokens[:, -1], memory, speech)
        self.set_incremental_state(incremental_state, "memory", {"memory": memory})
        return self.project(memory)[:, None], None

    def reorder_incremental_state(self, incremental_state, new_order):
        memory = self.get_incremental_state(incremental_state, "memory")["memory"]
        self.set_incremental_state(incremental_state, "memory", {"memory": memory[new_order]})


class MeanEncoder(FairseqEncoder):
    """(B, C): the mean of each utterance's own frames."""

    def __init__(self):
        super().__init__(None)
        self.project = torch.nn.Linear(FEATURE_DIM, STATE_DIM)
        torch.nn.init.normal_(self.project.weight)

    def forward(self, src_tokens, src_lengths, with_ctc=False):
        is_speech = torch.arange(src_tokens.size(1)) < src_lengths[:, None]
        return self.project((src_tokens * is_speech[:, :, None]).sum(1) / src_lengths[:, None])

    def forward_torchscript(self, net_input):
        return {"encoder_out": [self.forward(**net_input)]}

    def reorder_encoder_out(self, encoder_out, new_order):
        return {"encoder_out": [encoder_out["encoder_out"][0][new_order]]}


class RecurrentModel(FairseqEncoderDecoderModel):
    def max_decoder_positions(self):
        return self.decoder.max_positions()


def make_models(dictionary, num_models=1):
    return [RecurrentModel(MeanEncoder(), RecurrentDecoder(dictionary)) for _ in range(num_models)]


def make_sample(batch_size):
    lengths = torch.randint(1, 8, (batch_size,))
    return {"net_input": {"src_tokens": torch.randn(batch_size, int(lengths.max()), FEATURE_DIM), "src_lengths": lengths}}
