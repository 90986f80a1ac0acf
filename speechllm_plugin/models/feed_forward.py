"""The feed-forward networks of all layers, and what applies one network to speech and another one to text."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from speechllm_plugin.models import kernels
from speechllm_plugin.models.cost import matmul
from speechllm_plugin.models.dropout import dropped, probability_now
from speechllm_plugin.models.residual import add, branch_end, with_normed


class FeedForward(nn.Module):
    """LayerNorm, a wider hidden layer, and back; without the residual."""

    def __init__(self, dim: int, ffn_dim: int, activation: Callable[..., Tensor], dropout: float, activation_dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, dim)
        self.activation = activation
        self.dropout, self.activation_dropout = nn.Dropout(dropout), nn.Dropout(activation_dropout)

    def forward(self, x: Tensor) -> Tensor:
        return dropped(self.transform(self.norm(x)), self.dropout)

    def transform(self, normed: Tensor) -> Tensor:
        """What comes between the LayerNorm and the last dropout."""
        if kernels.for_training(normed):
            name, probability = self.activation.__name__, probability_now(self.activation_dropout)
            return branch_end(kernels.activate(*kernels.product_and_bias(normed, self.fc1), name, probability), self.fc2)
        hidden = self.fc1(normed)  # the largest tensor of a layer
        return self.fc2(dropped(self.activation(hidden, inplace=not torch.is_grad_enabled()), self.activation_dropout))

    def flops(self, num_states: int) -> int:
        return 2 * matmul(num_states, self.fc1.in_features, self.fc1.out_features)


def half_step(feed_forward: FeedForward, x: Tensor) -> Tensor:
    """(B, S, C) -> (B, S, C): x and half of what the network makes of it."""
    x, states = with_normed(x, feed_forward.norm)
    return add(x, feed_forward.transform(states), feed_forward.dropout, factor=0.5)


def by_modality(num_speech: int, of_speech: Callable[..., Tensor] | None, of_text: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """The (B, S, C) that one function makes of the first `num_speech` positions of the inputs (B, S, C), and another of the rest.

    Without `of_speech`, of_text makes all of it.
    """
    if of_speech is None or not num_speech:
        return of_text(*inputs)
    speech = of_speech(*(each[:, :num_speech] for each in inputs))
    if num_speech == inputs[0].size(1):
        return speech
    return torch.cat([speech, of_text(*(each[:, num_speech:] for each in inputs))], dim=1)
