"""What happened with each utterance, as SimulEval writes it: `simuleval --score-only --output FOLDER` scores it again."""

import json
from collections.abc import Iterable
from pathlib import Path

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.simultaneous.latency_units import LatencyUnit
from speechllm_plugin.simultaneous.simulation import Simulated

LOG_FILE, CONFIG_FILE_OF_SIMULEVAL = "instances.log", "config.yaml"


def write(folder: Path, simulated: Iterable[Simulated], utterances: Iterable[Utterance], unit: LatencyUnit) -> None:
    """Write a line of JSON per row of the manifest, in order; times in milliseconds."""
    with replacing(folder / LOG_FILE) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for index, (each, utterance) in enumerate(zip(simulated, utterances)):
            instance = {
                "index": index,
                "id": utterance.id,
                "prediction": each.text,
                "delays": each.delays,
                "elapsed": [round(delay, 3) for delay in each.elapsed],
                "prediction_length": len(unit.units(each.text)),
                "reference": utterance.tgt_text,
                "source": [utterance.audio],
                "source_length": each.source_ms,
            }
            file.write(json.dumps(instance, ensure_ascii=False) + "\n")
    with replacing(folder / CONFIG_FILE_OF_SIMULEVAL) as temporary:
        temporary.write_text("source_type: speech\ntarget_type: text\n", encoding="utf-8")
