"""Weights of 16 bits: every model trains and decodes, and its logits stay near those of 32 bits."""

import pytest
import torch
from tiny_model import ALL_DECODERS, batch_of, make_data, make_model, task

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropy

LENGTHS = [57, 40, 1]
# "fixed" merges whatever the CTC logits are: rounding cannot move a segment's border
VARIANTS = [("none", "none", "none"), ("transformer", "none", "fixed"), ("transformer", "rope", "none"), ("conformer", "xl", "fixed")]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("decoder", ALL_DECODERS)
@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_half_precision_trains_and_decodes(variant, decoder, dtype):
    model, batch = make_model(decoder, variant), batch_of(make_data(LENGTHS))
    tokens = batch["net_input"]["prev_output_tokens"]
    expected = model(**batch["net_input"]).logits
    model.to(dtype)
    speech = model.encoder(batch["net_input"]["src_tokens"], batch["net_input"]["src_lengths"])
    with torch.no_grad():
        state = model.decoder.start(speech)
        state.reserve(tokens.size(1))
        steps = [model.decoder.step(tokens[:, position, None], state) for position in range(tokens.size(1))]
    for logits in (model(**batch["net_input"]).logits, torch.cat(steps, dim=1)):
        assert logits.dtype == dtype
        torch.testing.assert_close(logits.float(), expected, atol=0.3 if dtype == torch.bfloat16 else 0.05, rtol=0.05)
    loss, _, _ = CTCCrossEntropy(task(), 0.1, 0.5, False)(model.train(), batch)
    loss.backward()
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
    assert all(buffer.isfinite().all() for buffer in model.buffers())
