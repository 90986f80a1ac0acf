"""Whatever bytes stand in the files of a corpus or in a manifest: rows, or an error in one line; never another exception."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechllm_plugin.data import manifest
from speechllm_plugin.preparation import corpora, corpus_check

FEW = settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])

NUMBERS = ["0", "1", "1.5", "-1", "nan", "inf", "1e308", "-0", "9" * 31, "9" * 400, "0x10", "1_0", "٣", "²", "", " 7 ", "007", "true", "null", "~"]
PATHS = ["a.wav", "a.wav:0:10", "../a.wav", "/etc/passwd", "a\0.wav", "x" * 300, "..", ".", "", "a/../../b", "~/a.wav", "common_voice_de_1.mp3"]
TEXTS = [
    "one two",
    "x" * 70_000,
    "\ufeff",
    '"',
    "\\",
    "\x1b[31m",
    "é",
    "e\u0301",
    "\u2028",
    "\x85",
    "\x0c",
    "de",
    "train",
    "dev",
    "&a",
    "*a",
    "[",
    "{",
    "- ",
]
fields = st.one_of(st.sampled_from(NUMBERS + PATHS + TEXTS), st.text(max_size=8))
MARKS = [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\0"]


def table(columns):
    """A TSV, mostly with these columns, of hostile fields, sometimes with bytes that do not belong there."""
    headers = st.one_of(st.just(columns), st.permutations(columns), st.lists(st.sampled_from([*columns, "more", ""]), max_size=len(columns) + 1))

    def rows_under(header):
        row = st.one_of(*[st.lists(fields, min_size=n, max_size=n) for n in {len(header), max(0, len(header) - 1)}])
        return st.tuples(
            st.just(header), st.lists(row, max_size=4), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(MARKS), st.sampled_from(MARKS)
        )

    def content(parts):
        header, rows, end, before, behind = parts
        return before + end.join("\t".join(row) for row in [header, *rows]).encode("utf-8", "surrogatepass") + behind

    return st.one_of(st.binary(max_size=60), headers.flatmap(rows_under).map(content))


def check_one_line(error, *names):
    """An error must be of these two types and name a file of these, in one line of a bounded length."""
    message = str(error)
    assert type(error) in (ValueError, FileNotFoundError), repr(error)
    assert message.strip() and "\n" not in message and len(message) < 3000, message
    assert any(name in message for name in names), message


@contextlib.contextmanager
def rows_or_one_line(*names):
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        check_one_line(error, *names)


def read_and_check(corpus, root, split, pair):
    """As `speechllm prepare --check` does, up to what it writes."""
    rows = corpora.read(corpus, root, [split], [pair])
    contents = {split: corpora.manifests("st", split, [row for row in rows[split] if not row.left_out])}
    corpus_check.check("st", root, contents, [])


@FEW
@given(table(list(manifest.UTTERANCE_COLUMNS)))
def test_manifests(tmp_path, content):
    (tmp_path / "train.tsv").write_bytes(content)
    with rows_or_one_line("train.tsv"):
        manifest.read(tmp_path / "train.tsv")


@FEW
@given(table(["id", "audio", "offset", "duration", "src_text", "tgt_text", "src_lang", "tgt_lang"]))
def test_own_tables(tmp_path, content):
    (tmp_path / "train.tsv").write_bytes(content)
    with rows_or_one_line("train.tsv", "train: ", str(tmp_path)):
        read_and_check("tsv", tmp_path, "train", (None, None))


@FEW
@given(table(["path", "translation", "client_id", "split"]), table(["client_id", "path", "sentence", "age", "accents"]))
def test_tables_of_common_voice(tmp_path, translations, recordings):
    (tmp_path / "de").mkdir(exist_ok=True)
    (tmp_path / "de/covost_v2.de_en.tsv").write_bytes(translations)
    (tmp_path / "de/validated.tsv").write_bytes(recordings)
    with rows_or_one_line("covost_v2.de_en.tsv", "validated.tsv", "train: ", str(tmp_path)):
        read_and_check("covost2", tmp_path, "train", ("de", "en"))


segments = st.dictionaries(st.sampled_from(["duration", "offset", "wav", "speaker_id", "rW"]), fields, max_size=5)
flow = segments.map(lambda pairs: "- {" + ", ".join(f"{name}: {value}" for name, value in pairs.items()) + "}")
whole_segments = st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), fields, fields).map(
    lambda values: "- {{duration: {}, offset: {}, wav: {}, speaker_id: {}}}".format(*values)
)
yamls = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=40).map(str.encode),
    st.tuples(st.sampled_from(MARKS), st.lists(st.one_of(flow, whole_segments), max_size=3)).map(
        lambda parts: parts[0] + "\n".join(parts[1]).encode()
    ),
)
lines = st.one_of(st.binary(max_size=30), st.lists(fields, max_size=4).map(lambda texts: "\n".join(texts).encode()))


@FEW
@given(yamls, lines, lines)
def test_files_of_mustc(tmp_path, segments, sources, targets):
    folder = tmp_path / "en-de/data/train/txt"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("yaml", segments), ("en", sources), ("de", targets)):
        (folder / f"train.{name}").write_bytes(content)
    with rows_or_one_line("train.yaml", "train.en", "train.de", "train: ", str(tmp_path)):
        read_and_check("mustc", tmp_path, "train", ("en", "de"))


DEADLY = [
    "- " * 100_000,
    "[" * 100_000,
    "- {a: " * 5000,
    "- &a [x]\n- [*a, *a]",
    "- &a [x]\n" + "\n".join(f"- &{chr(98 + n)} [{f'*{chr(97 + n)}, ' * 9}]" for n in range(20)),
    "\0",
    "- {duration: 1, wav: !!python/object:os.x y}",
    "- {offset: 1, duration: 1, wav: a, wav: b}",
]


@pytest.mark.parametrize("text", DEADLY, ids=range(len(DEADLY)))
def test_yaml_that_would_kill_its_reader(tmp_path, text):
    folder = tmp_path / "en-de/data/train/txt"
    folder.mkdir(parents=True)
    (folder / "train.yaml").write_text(text)
    for language in ("en", "de"):
        (folder / f"train.{language}").write_text("a\n" * (text.count("\n") + 1))
    with pytest.raises(ValueError) as error:
        corpora.read("mustc", tmp_path, ["train"], [("en", "de")])
    check_one_line(error.value, "train.yaml")
