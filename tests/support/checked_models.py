"""Small models as subjects of `speechllm check`."""

from tiny_model import make_data, task

from speechllm_plugin.checking.checks import CHECKS, check
from speechllm_plugin.checking.subject import Subject

LENGTHS = [57, 40, 1]
COMPRESSED = ("conformer", "xl", "avg")


def make_subject(model):
    return Subject(model, task(), make_data(LENGTHS), range(len(LENGTHS)))


def statuses(subject, names=CHECKS):
    return {name: check(subject, name).outcome.status for name in names}
