"""`python3 -m speechllm_plugin.experiments COMMAND ARGUMENT...`: what the files in recipes call."""

import importlib
import sys

from speechllm_plugin.files import interruption
from speechllm_plugin.text.one_line import one_line

# command: module with main(arguments); messages begin with the command
MODULES = {
    "run": "run_one",
    "study.sh": "study_stages",
    "summary": "summary_table",
    "best": "best_settings",
    "publish": "publishing",
    "model-args": "training_file",
    "expected-work": "expected_work",
    "show-validations": "validations",
    "throughput": "throughput",
}


def main(command: str, *arguments: str) -> None:
    module = importlib.import_module(f"speechllm_plugin.experiments.{MODULES[command]}")
    try:
        with interruption.signals_caught():
            module.main(*arguments)
    except (ValueError, OSError) as error:
        print(f"{command}: error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as error:
        interruption.end(command, error)


if __name__ == "__main__":
    main(*sys.argv[1:])
