"""The plugin is in fairseq's registries whichever import comes first, and costs nothing where fairseq is not loaded."""

import subprocess
import sys

import pytest
from commands import ROOT

REGISTERED = """
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY as criterions
from fairseq.models import MODEL_REGISTRY as models
from fairseq.tasks import TASK_REGISTRY as tasks
assert {"speechllm_speech_to_text", "speechllm_text_to_text"} <= set(tasks), sorted(tasks)
assert {"dfp_transformer", "xattn_transformer"} <= set(models), sorted(models)
assert {"ctc_cross_entropy", "sequence_kd"} <= set(criterions), sorted(criterions)
import sys, torch
assert not torch.backends.cuda.cudnn_sdp_enabled()
assert not [finder for finder in sys.meta_path if "speechllm" in type(finder).__module__]  # the hook has done its work
"""
LIGHT = "import sys; loaded = {'torch', 'fairseq', 'numpy'} & set(sys.modules); assert not loaded, loaded"
IN_A_SPAWNED_PROCESS = """
import multiprocessing
import speechllm_plugin
from speechllm_plugin.data import manifest

def child():
    import speechllm_plugin.data.speech_dataset
    {registered}

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
    raise SystemExit(process.exitcode)
"""


def python(*arguments):
    process = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process


def test_the_import_alone_waits_for_neither_torch_nor_fairseq():
    python("-c", f"import speechllm_plugin\n{LIGHT}\nfrom speechllm_plugin.files import atomic\n{LIGHT}")


@pytest.mark.parametrize(
    "imports",
    [
        "import fairseq; import speechllm_plugin",
        "import speechllm_plugin; import fairseq",
        "import speechllm_plugin.scoring.metrics; from fairseq import checkpoint_utils",
        "from speechllm_plugin.models import config",  # itself what is registered, and not complete while fairseq is loaded
        "from speechllm_plugin.models.reference import load_reference",
    ],
)
def test_the_order_of_imports_does_not_matter(imports):
    python("-c", f"{imports}\n{REGISTERED}")


def test_a_spawned_process_registers_what_it_unpickles(tmp_path):
    script = tmp_path / "spawning.py"
    script.write_text(IN_A_SPAWNED_PROCESS.format(registered=REGISTERED.replace("\n", "\n    ")), encoding="utf-8")
    python(script)


def test_an_import_that_fails_does_not_hide_a_later_one(tmp_path):
    """The first attempt finds no fairseq, as where a path is set too late."""
    program = """
import sys
import speechllm_plugin
paths, sys.path[:] = list(sys.path), [path for path in sys.path if "site-packages" not in path]
try:
    import fairseq
except ModuleNotFoundError:
    sys.path[:] = paths
else:
    raise SystemExit("fairseq was found")
import fairseq
"""
    python("-c", f"{program}{REGISTERED}")
