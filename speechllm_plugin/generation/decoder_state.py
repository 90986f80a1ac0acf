"""What a decoder remembers between two steps of a search: the speech once per sentence, the text per hypothesis."""

import torch


class DecoderState:
    """Keys and values per layer.

    Args:
        speech: per layer the (B, H, N, D) keys and values of the speech.
        mask:   (B, 1, 1, N) True at speech, False at padding.
        prefix: the speech is a prefix of the text and shares its softmax; otherwise it is read by cross-attention.
    """

    def __init__(self, speech: list[tuple], mask, prefix: bool):
        self.speech, self.mask, self.prefix = speech, mask, prefix
        self.keys = [None] * len(speech)                                # per layer (B, K, H, U, D)
        self.values = [None] * len(speech)
        self.num_tokens = 0

    def append(self, layer: int, key, value):
        """Add the key and value (B, K, H, D) of one token per hypothesis."""
        self.keys[layer] = self.join(self.keys[layer], key[..., None, :])
        self.values[layer] = self.join(self.values[layer], value[..., None, :])

    @staticmethod
    def join(before, new):
        return new if before is None else torch.cat([before, new], dim=3)

    def text(self, layer: int):
        """The (B, K, H, U, D) keys and values of a layer, the current token included."""
        return self.keys[layer], self.values[layer]

    def reorder(self, source_beam):
        """Hypothesis k of sentence b continues what was hypothesis source_beam[b, k]; the speech stays where it is."""
        if not self.num_tokens:
            return
        num_sentences, num_hypotheses = self.keys[0].shape[:2]
        sentence = torch.arange(num_sentences, device=source_beam.device)
        order = (source_beam + num_hypotheses * sentence[:, None]).flatten()      # row of each survivor in (B * K, ...)
        for stored in (self.keys, self.values):
            stored[:] = [x.flatten(0, 1).index_select(0, order).unflatten(0, source_beam.shape) for x in stored]

    def select(self, sentences):
        """Keep the given sentences, a (B',) list of rows, in this order."""
        self.speech = [(key.index_select(0, sentences), value.index_select(0, sentences)) for key, value in self.speech]
        self.mask = self.mask.index_select(0, sentences)
        if self.num_tokens:
            for stored in (self.keys, self.values):
                stored[:] = [x.index_select(0, sentences) for x in stored]
