"""Floating-point operations of a training step and of decoding, of one utterance, from flags and lengths alone.

Counted is what torch.utils.flop_counter counts: matrix products and convolutions, a multiplication and its addition as two
operations. Products that a mask hides are counted, as they are computed. Not counted: embeddings, norms, softmax,
activations, pooling, losses, the optimizer and the bookkeeping of the search.
"""

from typing import NamedTuple

from speechllm_plugin.models.attention import num_lags
from speechllm_plugin.models.config import SpeechToTextConfig, kernel_sizes, relative_positions

BACKWARD_FACTOR = 2  # each product has two gradients, one for each of its factors, as large as itself


class Lengths(NamedTuple):
    """Of one utterance: speech states after subsampling and after compression, and text tokens with the end token."""

    num_frames: int
    num_states: int
    num_compressed: int
    num_tokens: int


def matmul(rows: int, in_dim: int, out_dim: int) -> int:
    return 2 * rows * in_dim * out_dim


def attention(num_queries: int, num_keys: int, dim: int) -> int:
    """Scores and weighted mean, of all heads together."""
    return 2 * matmul(num_queries, dim, num_keys)


def states_after_subsampling(cfg: SpeechToTextConfig, num_frames: int) -> int:
    for _ in kernel_sizes(cfg):
        num_frames = (num_frames + 1) // 2
    return num_frames


class Cost:
    """Operations of one model; every method returns them by part.

    Args:
        cfg: flags of the model.
        cross_attention: of the decoder; otherwise the speech is a prefix of the text.
        feature_dim: filterbanks per frame.
        vocabulary_size: target types, special symbols included.
        num_labels: CTC labels, the blank included.
    """

    def __init__(self, cfg: SpeechToTextConfig, cross_attention: bool, feature_dim: int, vocabulary_size: int, num_labels: int):
        self.cfg, self.cross_attention, self.feature_dim = cfg, cross_attention, feature_dim
        self.vocabulary_size, self.num_labels = vocabulary_size, num_labels
        self.dim = cfg.encoder_embed_dim  # the decoder's as well

    def training_step(self, lengths: Lengths) -> dict[str, int]:
        """Forward and backward. The gradients that nobody needs (of the filterbanks and of the sinusoids) count as if they were computed."""
        return {part: (1 + BACKWARD_FACTOR) * operations for part, operations in self.forward(lengths).items()}

    def forward(self, lengths: Lengths) -> dict[str, int]:
        return {**self.encoder(lengths), **self.decoder(lengths.num_compressed, lengths.num_tokens)}

    def decoding(self, lengths: Lengths, num_hypotheses: int) -> dict[str, int]:
        """Beam search: the encoder, keys and values of the speech (prefill), one step for each token of the text.

        Without the CTC head, unless compression asks it.
        """
        encoder = self.encoder(lengths)
        if self.cfg.ctc_compression == "none":
            del encoder["ctc_head"]
        steps = (self.step(lengths.num_compressed, position, num_hypotheses) for position in range(1, lengths.num_tokens + 1))
        return {
            "encoder": sum(encoder.values()),
            "prefill": self.prefill(lengths.num_compressed),
            "steps": sum(steps),
        }

    def encoder(self, lengths: Lengths) -> dict[str, int]:
        """The first `ctc_layer` layers see all states, the others what compression leaves of them."""
        layers_below = self.cfg.ctc_layer
        layers_above = 0 if self.cfg.encoder == "none" else self.cfg.encoder_layers - layers_below
        below, above = self.encoder_layer(lengths.num_states), self.encoder_layer(lengths.num_compressed)
        return {
            "subsampling": self.subsampling(lengths.num_frames),
            "encoder_layers": layers_below * below + layers_above * above,
            "ctc_head": matmul(lengths.num_states, self.dim, self.num_labels) if layers_below else 0,
        }

    def subsampling(self, num_frames: int) -> int:
        total, in_dim, kernels = 0, self.feature_dim, kernel_sizes(self.cfg)
        for number, kernel in enumerate(kernels, 1):
            out_dim = 2 * self.dim if number == len(kernels) else self.cfg.conv_channels
            num_frames = (num_frames + 1) // 2
            total += matmul(num_frames, kernel * in_dim, out_dim)
            in_dim = out_dim // 2  # the gate halves them
        return total

    def encoder_layer(self, num_states: int) -> int:
        dim, cfg = self.dim, self.cfg
        lags = {"xl": num_lags(num_states), "legacy": num_states}.get(relative_positions(cfg), 0)
        self_attention = (
            matmul(num_states, dim, 4 * dim)  # queries, keys, values, output
            + attention(num_states, num_states, dim)
            + matmul(lags, dim, dim)
            + matmul(num_states, dim, lags)  # the scores of the lags
        )
        feed_forward = 2 * matmul(num_states, dim, cfg.encoder_ffn_embed_dim)
        if cfg.encoder == "transformer":
            return self_attention + feed_forward
        pointwise = matmul(num_states, dim, 2 * dim) + matmul(num_states, dim, dim)
        depthwise = matmul(num_states, cfg.depthwise_conv_kernel_size, dim)
        return self_attention + pointwise + depthwise + 2 * feed_forward

    def decoder(self, num_states: int, num_tokens: int) -> dict[str, int]:
        """All tokens at once. The last layer of a prefix decoder reads the speech, but computes the text only."""
        layers = self.cfg.decoder_layers
        if self.cross_attention:
            own = self.text_layer(num_tokens, num_tokens, num_tokens) + self.cross_attention_layer(num_tokens, num_states)
            operations = layers * own + self.prefill(num_states)
        else:
            both = num_states + num_tokens
            operations = (layers - 1) * self.text_layer(both, both, both) + self.text_layer(num_tokens, both, both)
        return {"decoder_layers": operations, "output_projection": self.output(num_tokens)}

    def prefill(self, num_states: int) -> int:
        """What the speech costs a decoder before the first token."""
        layers, last = self.cfg.decoder_layers, matmul(num_states, self.dim, 2 * self.dim)
        if self.cross_attention:
            return layers * last
        return (layers - 1) * self.text_layer(num_states, num_states, num_states) + last

    def step(self, num_states: int, position: int, num_hypotheses: int) -> int:
        """The token at a position, counted from 1, of every hypothesis; each reads the text of all, under a mask."""
        num_keys = position * num_hypotheses
        if self.cross_attention:
            layer = self.text_layer(num_hypotheses, num_keys, num_hypotheses) + self.cross_attention_layer(num_hypotheses, num_states)
        else:
            layer = self.text_layer(num_hypotheses, num_states + num_keys, num_hypotheses)
        return self.cfg.decoder_layers * layer + self.output(num_hypotheses)

    def text_layer(self, num_queries: int, num_keys: int, num_new_keys: int) -> int:
        """Self-attention and feed-forward network of a decoder layer; only the new keys and values are computed."""
        return (
            matmul(num_queries, self.dim, 2 * self.dim)  # queries, output
            + matmul(num_new_keys, self.dim, 2 * self.dim)  # keys, values
            + attention(num_queries, num_keys, self.dim)
            + 2 * matmul(num_queries, self.dim, self.cfg.decoder_ffn_embed_dim)
        )

    def cross_attention_layer(self, num_queries: int, num_states: int) -> int:
        """Without the keys and values of the speech, which are the prefill."""
        return matmul(num_queries, self.dim, 2 * self.dim) + attention(num_queries, num_states, self.dim)

    def output(self, num_tokens: int) -> int:
        return matmul(num_tokens, self.dim, self.vocabulary_size)
