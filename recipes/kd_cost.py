"""Time of an update of sequence_kd over that of ctc_cross_entropy, the same model and batches taking turns in one process:

python3 recipes/kd_cost.py DATA [--updates 60] FAIRSEQ_TRAIN_ARGUMENT...          recipes/kd_cost.sh does this for model files

Every utterance's own text stands for the teacher's, which so has its length. An update is forward, backward, clipping and the
optimizer's step; reading the data is not counted. Prints a line of JSON: milliseconds of both, and their ratio with a 95% bootstrap
interval over batches.
"""

import json
import logging
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import torch
from fairseq import optim, options, tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

WARM_UP_UPDATES = 6
NUM_RESAMPLES = 2000


def configuration(arguments, criterion):
    arguments = [*arguments, "--criterion", criterion]
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), input_args=arguments))


def batches_of(task, cfg, number):
    """Batches of an epoch in random order, with both texts."""
    task.load_dataset("train", combine=True)
    dataset = task.dataset("train")
    dataset.texts = replace(dataset.texts, kd_targets=[[target] for target in dataset.texts.targets])
    rows = dataset.batch_by_size(dataset.ordered_indices(), cfg.dataset.max_tokens, cfg.dataset.batch_size)
    order = np.random.default_rng(0).permutation(len(rows))
    return [dataset.collater([dataset[row] for row in rows[order[update % len(rows)]]]) for update in range(number)]


def seconds_of_update(model, criterion, optimizer, batch, clip_norm):
    has_gpu = next(model.parameters()).is_cuda
    if has_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    loss, sample_size, _ = criterion(model, batch)
    optimizer.backward(loss)
    optimizer.multiply_grads(1 / sample_size)
    optimizer.clip_grad_norm(clip_norm)
    optimizer.step()
    optimizer.zero_grad()
    if has_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main():
    arguments, num_updates = sys.argv[1:], 60
    if not arguments or arguments[0].startswith("-"):
        raise SystemExit(__doc__)
    if "--updates" in arguments:
        place = arguments.index("--updates")
        num_updates = int(arguments[place + 1])
        del arguments[place : place + 2]
    warnings.simplefilter("ignore")  # of hydra
    logging.disable(logging.WARNING)
    cfg = configuration(arguments, "ctc_cross_entropy")
    task = tasks.setup_task(cfg.task)
    batches = batches_of(task, cfg, num_updates + WARM_UP_UPDATES)
    torch.manual_seed(1)
    model = task.build_model(cfg.model).train()
    model = model.cuda() if torch.cuda.is_available() and not cfg.common.cpu else model
    names = ("ctc_cross_entropy", "sequence_kd")
    criterions = [task.build_criterion(configuration(arguments, name).criterion) for name in names]
    optimizer, seconds = optim.build_optimizer(cfg.optimizer, list(model.parameters())), []
    for update, batch in enumerate(batches):
        batch = utils.move_to_cuda(batch) if next(model.parameters()).is_cuda else batch
        net_input = {name: tensor for name, tensor in batch["net_input"].items() if name != "kd_prev_output_tokens"}
        samples, times = [{**batch, "net_input": net_input}, batch], [0.0, 0.0]
        for number in (0, 1) if update % 2 else (1, 0):
            times[number] = seconds_of_update(model, criterions[number], optimizer, samples[number], cfg.optimization.clip_norm)
        seconds.append(times)
    seconds = np.array(seconds[WARM_UP_UPDATES:])
    resampled = seconds[np.random.default_rng(0).integers(0, len(seconds), (NUM_RESAMPLES, len(seconds)))].sum(axis=1)
    low, high = np.percentile(resampled[:, 1] / resampled[:, 0], [2.5, 97.5])
    mean = seconds.mean(axis=0)
    result = {f"{name} ms": round(1000 * value, 1) for name, value in zip(names, mean)}
    print(json.dumps({**result, "ratio": round(mean[1] / mean[0], 3), "interval": [round(low, 3), round(high, 3)]}))


if __name__ == "__main__":
    main()
