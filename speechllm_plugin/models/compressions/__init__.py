"""The strategies of CTC compression: one file or a few related ones in a file, and one line each. --ctc-compression takes its choices
from here."""

from speechllm_plugin.models.compressions.blank_states import DROP_BLANK_STATES
from speechllm_plugin.models.compressions.blanks import DROP_BLANKS, MERGE_BLANKS
from speechllm_plugin.models.compressions.fixed_stride import FIXED
from speechllm_plugin.models.compressions.label_runs import AVERAGE, SOFTMAX, WEIGHTED
from speechllm_plugin.models.compressions.strategy import Strategy

COMPRESSIONS: dict[str, Strategy] = {
    "avg": AVERAGE,
    "weighted": WEIGHTED,
    "softmax": SOFTMAX,
    "fixed": FIXED,
    "drop_blanks": DROP_BLANKS,
    "merge_blanks": MERGE_BLANKS,
    "drop_blank_states": DROP_BLANK_STATES,
}
