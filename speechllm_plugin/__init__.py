"""speechllm_plugin: speech-to-text with dense feature prepending or cross-attention, for the stock fairseq commands.

Importing it registers the tasks, criterions and models. The console command `speechllm` imports only what each of its
commands needs, so that scoring a file does not wait for torch and fairseq.
"""

import sys
from pathlib import Path

if Path(sys.argv[0]).name != "speechllm" and sys.orig_argv[1:3] != ["-m", "speechllm_plugin.commands.cli"]:
    from speechllm_plugin import criterions, models, tasks  # noqa: F401
    from speechllm_plugin.host import command_errors, safe_loading  # noqa: F401
    from speechllm_plugin.models import speech_to_text  # noqa: F401

    command_errors.install()
