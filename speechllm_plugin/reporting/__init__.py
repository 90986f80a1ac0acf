"""Reports on finished runs. The numbers of a report in Python, without a page:

    from speechllm_plugin.reporting.analysis import analyse
    from speechllm_plugin.reporting.options import Options
    from speechllm_plugin.reporting.runs import read_study
    from speechllm_plugin.reporting.tables.table import markdown

    study = read_study(["dfp=runs/dfp-seed1,runs/dfp-seed2", "xattn=runs/xattn-seed1,runs/xattn-seed2"], split=None, data=None)
    analysis = analyse(study, Options(with_checkpoints=False))

    analysis["scores"].results[0].intervals[0]       # Interval of the first metric, first system: score, low, high, deviation over seeds
    analysis["scores"].results[0].comparisons[0]     # Comparison of the first two systems: difference, low, high, p_bootstrap, p_randomisation
    analysis["scores"].results[0].adjusted[0]        # p_randomisation after Holm's correction
    analysis["slices"].rows["Accent"]                # [Row(label, size, result), ...]; likewise analysis["words"], analysis["failures"]
    analysis["verdict"][0].headline                  # the outcome in one sentence
    print(*map(markdown, analysis.tables), sep="\\n")

Scores are percentages, differences are the first system minus another one, durations are seconds. A `Quantity` holds what is resampled:
statistics (M, N, K) of each system, of M training seeds and N utterances in the manifest's order.

    runs.py study.py       folders of the recipes -> Study
    results.py             Quantity -> intervals, differences, p-values; breakdown.py: Results in groups of rows
    facts.py               FACTS, what several parts need: metric_choice.py example_rows.py inspections.py
    part.py parts/         PARTS, the table of all parts from top to bottom of the page; a file for each
    tables/ figures/       tables as HTML, Markdown, LaTeX; pictures as SVG
    analysis.py            what the parts have found, each computed once
    page.py page.html macros.html style.css    the page of an Analysis
"""
