"""--bf16 with the plugin's optimizer, which keeps the float32 weights itself."""

from typing import Any

from fairseq import optim

PLUGINS_OPTIMIZER = "speechllm_adam"


def leave_bf16_to_the_optimizer() -> None:
    """With --bf16 and `--optimizer speechllm_adam`, fairseq's trainer gets that optimizer without a wrapper around it.

    fairseq wraps any other in FP16Optimizer, which copies every gradient and every weight, one after the other, in each update.
    """
    wrapped = optim.FP16Optimizer.build_optimizer

    def build_optimizer(cfg: Any, params: Any, **kwargs: Any) -> Any:
        if cfg.optimizer._name == PLUGINS_OPTIMIZER and cfg.common.bf16:
            return optim.build_optimizer(cfg.optimizer, params)
        return wrapped(cfg, params, **kwargs)

    optim.FP16Optimizer.build_optimizer = build_optimizer
