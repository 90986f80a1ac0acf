"""The table of corpora: each entry finds its own layout, and only it."""

from pathlib import Path

import pytest
from covost_corpus import CommonVoice
from game_corpora import FishFillets, Stamps
from mustc_corpus import small_corpus

from speechllm_plugin.preparation.corpora import CORPORA

TRAINING_FILES = Path(__file__).resolve().parents[2] / "recipes/training"


@pytest.fixture
def roots(tmp_path):
    small_corpus(tmp_path / "mustc", targets=("fr", "de"))
    for language, targets in (("en", ("de", "zh-CN")), ("de", ("en",))):
        CommonVoice(tmp_path / "covost2", language, targets, ["train"], lambda number: ["a"] * 3).write()
    FishFillets(tmp_path / "fillets", num_dialogs=1).write()
    Stamps(tmp_path / "tuxpaint").write()
    (tmp_path / "tsv").mkdir()
    (tmp_path / "tsv/train.tsv").write_text("audio\ttgt_text\na.wav\tb\n")
    return {name: tmp_path / name for name in CORPORA}


def test_a_root_is_recognised_by_its_corpus_alone(roots):
    recognised = {name: [other for other in CORPORA if CORPORA[other].recognises(root)] for name, root in roots.items()}
    assert recognised == {"mustc": ["mustc"], "covost2": ["covost2"], "fillets": ["fillets"], "tuxpaint": ["tuxpaint"], "tsv": []}


def test_the_directions_are_those_that_the_folder_holds(roots):
    assert CORPORA["mustc"].directions(roots["mustc"]) == [("en", "de"), ("en", "fr")]
    assert CORPORA["covost2"].directions(roots["covost2"]) == [("de", "en"), ("en", "de"), ("en", "zh-CN")]
    assert CORPORA["fillets"].directions(roots["fillets"])[:2] == [("cs", "bg"), ("cs", "de")]
    assert CORPORA["tuxpaint"].directions(roots["tuxpaint"])[:2] == [("es", "be"), ("es", "bg")]


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_every_entry_is_complete(corpus):
    assert corpus.test_split in corpus.splits and "train" in corpus.splits
    assert set(corpus.vocab_sizes) == {"asr", "st", "joint"}
    assert (TRAINING_FILES / corpus.training_file).is_file()
