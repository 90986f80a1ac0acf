"""`pytest -m gpu` runs all tests that have something to test on a GPU."""

from commands import ROOT

TESTS = ROOT / "tests"


def test_what_takes_or_needs_a_gpu_is_marked():
    texts = {path.relative_to(TESTS).as_posix(): path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")}
    texts.pop("package/test_gpu_marks.py")
    assert [name for name, text in texts.items() if 'reason="there is no GPU"' in text] == ["support/gpu.py"]
    assert not [name for name, text in texts.items() if "import DEVICE" in text and "pytest.mark.gpu" not in text]
