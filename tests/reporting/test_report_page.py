"""The page of `speechllm report` in a real browser: it runs nothing, asks for nothing, fits a laptop and a phone, and prints."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest
import synthetic_runs

from speechllm_plugin.commands import cli

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TIMEOUT_SECONDS = 120
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with long names, all kinds of sections, and pictures."""
    folder = tmp_path_factory.mktemp("page")
    runs = synthetic_runs.make(folder, utterances=40, seeds=2, recordings=True)
    name = "conformer-with-prepended-features-and-a-long-name"
    systems = [f"{name}={runs[0]},{runs[1]}", f"xattn={runs[2]},{runs[3]}"]
    assert cli.main(["report", *systems, "--out", str(folder / "report.html"), "--resamples", "100", "--slices", "accent", "gender", "duration"]) == 0
    return folder / "report.html"


def browse(tmp_path, address, *options):
    """What the browser prints, and what it complains about."""
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    result = subprocess.run([*command, *options, address.as_uri()], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout, [line for line in result.stderr.splitlines() if ":CONSOLE" in line]


def in_a_frame(tmp_path, page, width, program):
    """What the JavaScript expression `program` is for the frame's document `page`, in JSON; the page itself runs no program."""
    text = html.escape(page.read_text(encoding="utf-8"))
    script = f"""
    const frame = document.querySelector('iframe');
    frame.onload = async () => {{
      const page = frame.contentDocument;
      document.title = JSON.stringify(await ({program}));
      frame.remove();
    }};"""
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<!doctype html><meta charset="utf-8"><iframe style="width:{width}px;height:900px;border:0" srcdoc="{text}"></iframe>'
        f"<script>{script}</script>",
        encoding="utf-8",
    )
    printed, complaints = browse(tmp_path, frame, "--dump-dom", "--window-size=1400,1000", "--virtual-time-budget=10000")
    assert complaints == []
    return json.loads(html.unescape(re.search(r"<title>(.*?)</title>", printed)[1]))


WIDTH_OF_PAGE = "page.documentElement.scrollWidth"
STANDING_OUT = """[...page.querySelectorAll('body *')].filter(element => !element.closest('.scroll')
  && (!element.closest('svg') || element.tagName == 'text')
  && element.getBoundingClientRect().right > page.documentElement.clientWidth + 1).map(element => element.outerHTML.slice(0, 200))"""
DURATIONS = """Promise.all([...page.querySelectorAll('audio')].map(audio => new Promise(resolve => {
  if (audio.readyState) resolve(audio.duration);
  audio.onloadedmetadata = () => resolve(audio.duration);
  audio.onerror = () => resolve(-1);
})))"""


@pytest.mark.parametrize("width", [1280, 768, 375, 320])
def test_the_page_never_scrolls_sideways(tmp_path, page, width):
    scroll_width, wide, num_texts = in_a_frame(tmp_path, page, width, f"[{WIDTH_OF_PAGE}, {STANDING_OUT}, page.querySelectorAll('svg text').length]")
    assert scroll_width <= width
    assert wide == []
    assert num_texts > 50  # texts of the charts are texts


def test_tables_scroll_within_their_own_width_on_a_phone(tmp_path, page):
    widths = in_a_frame(tmp_path, page, 375, "[...page.querySelectorAll('section > .scroll')].map(each => [each.scrollWidth, each.clientWidth])")
    assert any(inside > outside for inside, outside in widths) and all(outside <= 375 for _, outside in widths)


def test_the_browser_has_nothing_to_complain_about(tmp_path, page):
    printed, complaints = browse(tmp_path, page, "--dump-dom")
    assert complaints == [] and printed.count("<section") == 10 and printed.count("<audio") == 6


def test_the_page_forbids_scripts_and_requests(tmp_path, page):
    """The oracle of the test above: what the page's policy stops is complained about."""
    text = page.read_text(encoding="utf-8")
    attack = '<h1><img src="http://127.0.0.1:9/x.png"><script>document.title = "run"</script>'
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("<h1>", attack, 1), encoding="utf-8")
    printed, complaints = browse(tmp_path, changed, "--dump-dom")
    assert len(complaints) == 2 and all("Content Security Policy" in complaint for complaint in complaints)
    assert "<title>run</title>" not in printed


def test_the_page_prints_with_all_tables_open(tmp_path, page):
    pdf = tmp_path / "report.pdf"
    browse(tmp_path, page, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", content)) > 1
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on PATH (poppler): whether the tables are in the PDF was not looked at")
    text = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout
    assert "scotland" in text and "What is counted" in text
    assert "Words of the output that the reference does not have" in text  # within a closed <details> on the screen


def test_sounds_can_be_played(tmp_path, page):
    """The browser knows their durations: it has read them, out of the page and under its policy."""
    durations = in_a_frame(tmp_path, page, 800, DURATIONS)
    assert len(durations) == 6 and all(0.3 < duration < 40 for duration in durations)
