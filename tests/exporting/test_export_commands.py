"""`speechllm export`: the folder decodes as its checkpoint, needs no data folder, and starts another training."""

import shutil

import pytest
from commands import MODELS, assert_same_hypotheses, generate, hypotheses, last_line, speechllm, succeeded, train

from speechllm_plugin.data import audio, manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.recording import recording_of
from speechllm_plugin.models.speech_to_text import DFPModel

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def exported(trained, data, tmp_path_factory):
    """The folder of the trained model, in float32."""
    out = tmp_path_factory.mktemp("export") / "model"
    arguments = ["--data", data, "--dtype", "float32", "--scores", trained.folder / "score.json"]
    process = succeeded(speechllm("export", trained.checkpoint, out, *arguments, cwd=out.parent))
    assert process.stdout.startswith(f"{out}: dfp_transformer")
    return out


def test_the_folder_decodes_as_its_checkpoint(exported, trained, data):
    assert_same_hypotheses(hypotheses(generate(data, exported, "tst-COMMON").stdout), hypotheses(trained.decoded), tolerance=1e-6)


def test_a_training_starts_from_the_folder(exported, data, tmp_path):
    arguments = ["--init-encoder-from", exported, "--init-decoder-from", exported, "--save-dir", tmp_path]
    process = succeeded(train(data, None, *arguments, model=MODELS["dfp_conformer_compressed"], updates=1))
    assert process.stdout.count(f"tensors from {exported}") + process.stderr.count(f"tensors from {exported}") == 2


def test_the_hub_interface_needs_no_data_folder(exported, trained, data, tmp_path, monkeypatch):
    shutil.copytree(exported, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    hub = DFPModel.from_pretrained("copy", beam=3, max_len_b=12)
    source, root = recording_of(manifest.read(data / "tst-COMMON.tsv")[0], DataConfig.load(data / "config.yaml"))
    text = hub.predict(str(root / source))
    assert text == hub.task.target.bpe.decode(hypotheses(trained.decoded)[0][0].text)
    assert hub.predict(audio.read(source, root)) == text


def test_the_card_says_what_the_model_is(exported):
    card = (exported / "README.md").read_text()
    for part in (
        "Speech translation by dense feature prepending",
        "from speech in en to text in de",
        "| tst-COMMON | 13 | wer |",
        "6 updates",
        "`train` in `",
    ):
        assert part in card
    assert str(exported.parent) not in card + (exported / "model.json").read_text()


def test_another_data_folder_is_an_error(trained, data, tmp_path):
    shutil.copytree(data, tmp_path / "other")
    lines = (tmp_path / "other/spm_target.txt").read_text().splitlines(keepends=True)
    (tmp_path / "other/spm_target.txt").write_text("".join([lines[1], lines[0], *lines[2:]]))
    process = speechllm("export", trained.checkpoint, tmp_path / "out", "--data", tmp_path / "other", cwd=tmp_path)
    assert process.returncode == 1 and "target vocabulary is not the one that the checkpoint was trained with" in last_line(process)
    assert not (tmp_path / "out").exists()
