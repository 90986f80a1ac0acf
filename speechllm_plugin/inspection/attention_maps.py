"""Pictures of attention: the part of the speech that a decoder reads for each token of a text."""

from collections.abc import Mapping

import torch

from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS
from speechllm_plugin.generation.speech_alignment import over_frames, over_states
from speechllm_plugin.inspection.stored import Picture
from speechllm_plugin.inspection.trained_model import load_rows

MAX_COLUMNS = 400  # of a picture: more than are seen at its width in a page


@torch.no_grad()
def attention_pictures(model, task, split: str, hypotheses: Mapping[int, str], layer: int | None = None) -> dict[int, Picture]:
    """The attention to the speech, mean over the heads, with which the model would write a text for each of some rows.

    Args:
        hypotheses: row of the manifest, from 0 -> text, as fairseq-generate prints it in D- lines. It is encoded again, after the tag of
            the row's language where the model has tags; what the vocabulary lacks becomes its unknown token.
        layer: of the decoder, from 0; None is the last.

    Raises:
        ValueError: there is no such row or layer, or a text is longer than the decoder allows.
    """
    dataset, decoder, num_layers = load_rows(task, split), model.eval().decoder, len(model.decoder.layers)
    layer = num_layers - 1 if layer is None else layer
    if not 0 <= layer < num_layers:
        raise ValueError(f"the decoder has layers 0 to {num_layers - 1}, but the layer asked for is {layer}")
    pictures, device = {}, next(model.parameters()).device
    for row, text in hypotheses.items():
        if not 0 <= row < len(dataset):
            raise ValueError(f"{split}.tsv has rows 0 to {len(dataset) - 1}, but there is a hypothesis of row {row}: give those of this split")
        tokens = encoded(task, dataset, row, text)
        if len(tokens) > decoder.max_positions():
            raise ValueError(f"row {row} of {split}.tsv: a text has {decoder.max_positions()} tokens at most, but this has {len(tokens)}")
        previous, features = tokens.roll(1)[None].to(device), dataset[row].features[None].to(device)
        num_frames = torch.tensor([features.size(1)], device=device)
        speech = model.encoder(features, num_frames, with_ctc=False)
        weights = over_states(decoder.attention_to_speech(previous, speech, layer), speech.segments)
        weights = over_frames(weights, num_frames, model.encoder.frames_per_state)[0, :, : features.size(1)]
        weights, frames_per_column = narrowed(weights)
        symbols = [task.target_dictionary[token] for token in tokens.tolist()]
        pictures[row] = Picture(symbols, weights.float().cpu().numpy(), frames_per_column * FRAME_SHIFT_SECONDS)
    return pictures


def encoded(task, dataset, row: int, text: str) -> torch.Tensor:
    """The (U,) ids of a text of a row, from its tag, if any, to the end of sentence."""
    tokens = torch.from_numpy(task.target.encode(text, end=[dataset.eos]))
    return torch.cat([torch.from_numpy(dataset.target(row)[:1]), tokens]) if dataset.has_tags else tokens


def narrowed(weights: torch.Tensor) -> tuple[torch.Tensor, int]:
    """(U, T) weights of frames -> the (U, T') mean weights of as many frames each, MAX_COLUMNS columns at most, and this number."""
    per_column = -(-weights.size(1) // MAX_COLUMNS)
    parts = weights.split(per_column, dim=1)  # the last may be smaller
    return torch.stack([part.mean(1) for part in parts], dim=1), per_column
