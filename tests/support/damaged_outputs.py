"""Damaged outputs of the stock commands, KD files and folders of runs: what score, report and distill read."""

from damaged_inputs import Case
from damaged_world import append, both, changed, cut, folder, nothing, removed, replace, write

OUT = "out.txt"


def score_of(metric):
    """The score that `speechllm score` prints for a metric."""

    def read(done):
        line = next(line for line in done.out.splitlines() if line.split()[:1] == [metric])
        return float(line.split()[1])

    return read


def line_of(kind):
    """The D- or H- line of the first row in the output."""
    return lambda content: next(line for line in content.split(b"\n") if line.startswith(kind + b"-0\t"))


def with_line(kind, new):
    def change(content):
        old = line_of(kind)(content)
        return content.replace(old, new(old) if callable(new) else new)

    return changed(OUT, change)


CASES = [
    Case("no output", removed(OUT), "SCORE", "out.txt: No such file or directory"),
    Case("a folder for an output", folder(OUT), "SCORE", "out.txt: Is a directory"),
    Case("empty output", write(OUT, ""), "SCORE", "out.txt: no D- line"),
    Case("output of another program", write(OUT, "hello\nworld\n"), "SCORE", "out.txt: no D- line"),
    Case("output of zero bytes", write(OUT, b"\0" * 1000), "SCORE", "out.txt: no D- line"),
    Case("output not UTF-8", append(OUT, b"D-1\t-1.0\t\xff\xfe\n"), "SCORE", "out.txt: must be UTF-8"),
    Case("output cut in a line", changed(OUT, lambda old: old[: old.rindex(b"\t", 0, old.index(b"P-1")) + 3]), "SCORE",
         "the file ends within this line"),
    Case("output cut before the last sentence", changed(OUT, lambda content: content[: content.index(b"S-1") if b"S-1" in content
         else content.index(b"T-1")]), "SCORE", "1 of 2 have none (first: 1 "),
    Case("a sentence twice", changed(OUT, lambda content: content * 2), "SCORE", "have several"),
    Case("a row beyond the manifest", append(OUT, "D-7\t-1.0\ttext\n"), "SCORE", "1 are beyond its 2 rows (first: 7)"),
    Case("a row of letters", append(OUT, "D-x\t-1.0\ttext\n"), "SCORE", "a D- line needs row, score and text"),
    Case("a row of 5,000 digits", append(OUT, f"D-{'9' * 5000}\t-1.0\ttext\n"), "SCORE", "a D- line needs row, score and text"),
    Case("a row in Arabic digits", append(OUT, "D-٣\t-1.0\ttext\n"), "SCORE", "a D- line needs row, score and text"),
    Case("a score of letters", with_line(b"D", lambda line: b"D-0\tgood\ttext"), "SCORE", "a D- line needs row, score and text, but is 'D-0\\tgood"),
    Case("a line without text", with_line(b"D", b"D-0\t-1.0"), "SCORE", "a D- line needs row, score and text"),
    Case("a score that is no number", with_line(b"D", b"D-0\tnan\ttext"), "SCORE", accepted=lambda done, world: 0 <= score_of("chrf")(done) <= 100),
    Case("an empty text", with_line(b"D", b"D-0\t-1.0\t"), "SCORE", accepted=lambda done, world: score_of("wer")(done) == 100),
    Case("a text of a million characters", with_line(b"D", b"D-0\t-1.0\t" + b"x" * 10**6), "SCORE",
         accepted=lambda done, world: score_of("cer")(done) > 10**4),
    Case("carriage returns", changed(OUT, lambda content: content.replace(b"\n", b"\r\n")), "SCORE",
         accepted=lambda done, world: score_of("chrf")(done) >= 0),
    Case("another test set", nothing, "SCORE --manifest data/dev.tsv", "1 of 3 have none"),
    Case("perfect texts", changed(OUT, lambda content: b"".join(b"D-%d\t0\t%s\n" % (row, text) for row, text in enumerate(texts(content)))),
         "SCORE", accepted=lambda done, world: score_of("wer")(done) == 0 and score_of("chrf")(done) == 100),
    Case("no manifest to score", nothing, "SCORE --manifest none.tsv", "none.tsv: no such manifest"),
    Case("a column that is not there", nothing, "SCORE --by accent", "accent"),
    Case("another system that is not there", nothing, "SCORE --against none.txt", "none.txt: No such file or directory"),
    Case("another system that is empty", write("other.txt", ""), "SCORE --against other.txt", "other.txt: no D- line"),
    Case("escapes in an id", both(replace("data/tst-COMMON.tsv", "tst-COMMON_ted_4_1", "\x1b[31mred\x1b]0;title\x07"),
         changed(OUT, lambda content: content[: content.index(b"T-1")])), "SCORE", "(first: 1 \\x1b[31mred\\x1b]0;title\\x07)"),
    Case("escapes in the name of a file", write("a\x1b[2Jb.txt", ""), "SCORE --hypotheses 'a\x1b[2Jb.txt'", "a\\x1b[2Jb.txt: no D- line"),
    Case("a line feed in the name of a file", nothing, "SCORE --hypotheses 'a\nb.txt'", "a\\nb.txt: No such file or directory"),
    Case("a name that is not UTF-8", nothing, "SCORE --hypotheses 'a\udcff.txt'", "a\\udcff.txt: No such file or directory"),
    Case("a name of 5,000 characters", nothing, f"SCORE --hypotheses {'x' * 5000}", "File name too long"),
]  # fmt: skip


def texts(content):
    return [line.split(b"\t")[1] for line in content.split(b"\n") if line.startswith(b"T-")]


RUN = "runs/dfp-seed1"
SPLIT = f"{RUN}/generate-tst-COMMON.txt"
NATIVE = "REPORT --native native.yaml"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 30))
CASES += [
    Case("no run", removed(RUN), "REPORT", "runs/dfp-seed1"),
    Case("a file for a run", both(removed(RUN), write(RUN, "x")), "REPORT", "runs/dfp-seed1"),
    Case("a run without output", removed(SPLIT), "REPORT", "runs/dfp-seed1"),
    Case("a run with an empty output", write(SPLIT, ""), "REPORT", "no D- line"),
    Case("a run with a cut output", cut(SPLIT, 0.6), "REPORT", "generate-tst-COMMON.txt"),
    Case("a run of another test set", changed(SPLIT, lambda content: content.replace(b"a", b"q")), "REPORT", "another test set"),
    Case("a run without its logs", both(removed(f"{RUN}/train.log"), removed(f"{RUN}/generate-tst-COMMON.log")), "REPORT --data runs/data",
         accepted=lambda done, world: (world / "report.html").stat().st_size > 10_000),
    Case("a run with a log of noise", write(f"{RUN}/train.log", bytes(range(256)) * 9), "REPORT --data runs/data",
         accepted=lambda done, world: (world / "report.html").stat().st_size > 10_000),
    Case("a run with a nested log", append(f"{RUN}/train.log", '| train | {"a": ' + "[" * 10**5 + '"}\n'), "REPORT --data runs/data",
         accepted=lambda done, world: (world / "report.html").stat().st_size > 10_000),
    Case("a run with infinite updates", append(f"{RUN}/train.log", '| train | {"train_loss": "1", "train_num_updates": 1e999, "a": "b"}\n'),
         "REPORT --data runs/data", accepted=lambda done, world: (world / "report.html").stat().st_size > 10_000),
    Case("no such data folder", nothing, "REPORT --data none", "none"),
    Case("no such split to report", nothing, "REPORT --split none", "none"),
    Case("no such table of accents", nothing, NATIVE, "native.yaml: no such table of accents"),
    Case("accents nested", write("native.yaml", "native: " + "[" * 10**6), NATIVE, "native.yaml: not readable as YAML (line 1: more than 50"),
    Case("accents with a bomb of aliases", write("native.yaml", BOMB), NATIVE, "native.yaml: not readable as YAML (line 5: aliases (*a3) stand for"),
    Case("accents in a list", write("native.yaml", "- us\n"), NATIVE, "native.yaml: must have the keys native, non-native, unclear"),
    Case("accents of numbers", write("native.yaml", "native: [3]\n"), NATIVE, "native must list accents as text, but has 3"),
    Case("accents in two groups", write("native.yaml", "native: [us]\nnon-native: [US]\n"), NATIVE, "an accent must be in one list"),
    Case("no such table of speakers", nothing, "REPORT --speakers none.tsv", "none.tsv: no such table of speakers"),
    Case("speakers without a header", write("speakers.tsv", "a\tb\n"), "REPORT --speakers speakers.tsv", "column 'speaker' is missing"),
    Case("a speaker twice", write("speakers.tsv", "speaker\tx\ns\t1\ns\t2\n"), "REPORT --speakers speakers.tsv", "each speaker must have one row"),
    Case("no such slice", nothing, "REPORT --slices colour", "colour"),
    Case("no such utterance", nothing, "REPORT --utterances nobody", "nobody"),
]  # fmt: skip

KD, ABOUT = "kd.tsv", "kd.tsv.json"
CASES += [
    Case("no translations", removed(KD), "DISTILL", "kd.tsv: "),
    Case("no description of translations", removed(ABOUT), "DISTILL", "kd.tsv"),
    Case("description is a list", write(ABOUT, "[]"), "DISTILL", "kd.tsv.json: must be a JSON object, but is []"),
    Case("description is nested", write(ABOUT, "[" * 10**5), "DISTILL", "kd.tsv.json: must be JSON"),
    Case("description is empty", write(ABOUT, ""), "DISTILL", "kd.tsv.json: must be JSON"),
    Case("description with k of text", replace(ABOUT, '"k": 1', '"k": "1"'), "DISTILL", "kd.tsv.json: k must be of type int, but is '1'"),
    Case("description with k of true", replace(ABOUT, '"k": 1', '"k": true'), "DISTILL", "kd.tsv.json: k must be of type int, but is True"),
    Case("description of other rows", replace(ABOUT, '"num_utterances": 2', '"num_utterances": 5'), "DISTILL", "must have 1 hypotheses of each of 5"),
    Case("translations cut", cut(KD, 0.7), "DISTILL", "kd.tsv"),
    Case("translations of ranks in letters", replace(KD, "\t1\t", "\tone\t"), "DISTILL", "rank and kd_score must be numbers"),
    Case("translations without a header", changed(KD, lambda content: content.partition(b"\n")[2]), "DISTILL", "kd.tsv"),
    Case("translations not UTF-8", replace(KD, b"ein Text", b"\xff"), "DISTILL", "must be UTF-8"),
    Case("translations of another text", replace("data/tst-COMMON.tsv", "tst-COMMON_ted_4_0", "other"), "DISTILL", "kd.tsv"),
    Case("the output of a speech model", nothing, "DISTILL --teacher-output out.txt", "no S- line"),
    Case("HTML in a report of translations", replace(KD, "ein Text", "<script>alert(1)</script>"), "DISTILL --report about.md",
         accepted=lambda done, world: "<script" not in (world / "about.md").read_text() and "script" in (world / "about.md").read_text()),
    Case("HTML in the report of runs", changed(SPLIT, lambda content: content.replace(b"D-0\t", b"D-0\t", 1).replace(b"\tD", b"\tD")),
         "REPORT --data runs/data --title '<script>alert(1)</script>'",
         accepted=lambda done, world: "<script>alert" not in (world / "report.html").read_text()),
]  # fmt: skip
