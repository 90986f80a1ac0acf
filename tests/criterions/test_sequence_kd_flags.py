"""Flags of sequence_kd that contradict each other, and batches that lack what it asks for, end in one line."""

import pytest
from tiny_model import batch_of, make_data, make_model, task

from speechllm_plugin.criterions.sequence_kd import SequenceKD

DEFAULTS = {"kd_weight": "0.5", "kd_label_smoothing": None, "word_kd_weight": 0.0, "word_kd_temperature": 1.0, "word_kd_cache": None}


def make_criterion(**flags):
    return SequenceKD(task(), 0.1, 0.5, False, **(DEFAULTS | flags))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"kd_weight": "much"}, "--kd-weight must be a number, or update:share points as in .*, but is 'much'"),
        ({"kd_weight": "0:0.1,5"}, "--kd-weight must be a number, or update:share points .*'0:0.1,5'"),
        ({"kd_weight": "1.5"}, "--kd-weight must be from 0 to 1, but is '1.5'"),
        ({"kd_weight": "nan"}, "--kd-weight must be from 0 to 1, but is 'nan'"),
        ({"kd_weight": "5:0.1,5:0.2"}, "--kd-weight must name updates in growing order"),
        ({"kd_weight": "-1:0.1,5:0.2"}, "--kd-weight must name updates in growing order"),
        ({"kd_label_smoothing": 1.0}, "--kd-label-smoothing must be at least 0 and below 1, but is 1.0"),
        ({"kd_weight": "0", "kd_label_smoothing": 0.1}, "--kd-label-smoothing 0.1 is of the teacher's text, which --kd-weight 0 leaves out"),
        ({"word_kd_weight": 2.0, "word_kd_cache": "c"}, "--word-kd-weight must be from 0 to 1, but is 2.0"),
        ({"word_kd_weight": 0.5, "word_kd_cache": "c", "kd_weight": "1"}, "--word-kd-weight 0.5 is a share of the original text's loss, which"),
        ({"word_kd_weight": 0.5, "word_kd_cache": "c", "word_kd_temperature": 0.0}, "--word-kd-temperature must be above 0, but is 0.0"),
        ({"word_kd_weight": 0.5}, "--word-kd-weight 0.5 needs the teacher's probabilities: give --word-kd-cache"),
        ({"word_kd_cache": "some/folder"}, "--word-kd-cache some/folder is used with --word-kd-weight only"),
        ({"word_kd_temperature": 2.0}, "--word-kd-temperature 2.0 needs --word-kd-weight"),
    ],
    ids=str,
)
def test_contradictions_end_in_one_line(flags, message):
    with pytest.raises(ValueError, match=message) as error:
        make_criterion(**flags)
    assert "\n" not in str(error.value)


def test_batches_without_the_teachers_part_say_what_is_missing():
    model, batch = make_model("dfp").train(), batch_of(make_data([57, 1]))
    with pytest.raises(ValueError, match="the manifest must have kd_text"):
        make_criterion()(model, batch)
    with pytest.raises(ValueError, match="give --word-kd-cache"):
        make_criterion(kd_weight="0", word_kd_weight=0.5, word_kd_cache="unused")(model, batch)
