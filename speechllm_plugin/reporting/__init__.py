"""Reports on finished runs. The numbers of a report in Python, without a page:

    from pathlib import Path
    from speechllm_plugin.reporting.analysis import Options, analyse
    from speechllm_plugin.reporting.runs import read_study
    from speechllm_plugin.reporting.tables.table import markdown

    study = read_study(["dfp=runs/dfp-seed1,runs/dfp-seed2", "xattn=runs/xattn-seed1,runs/xattn-seed2"], split=None, data=None)
    analysis = analyse(study, Options(with_checkpoints=False))

    analysis.scores.results[0].intervals[0]       # Interval of the first metric, first system: score, low, high, deviation over seeds
    analysis.scores.results[0].comparisons[0]     # Comparison of the first two systems: difference, low, high, p_bootstrap, p_randomisation
    analysis.scores.results[0].adjusted[0]        # p_randomisation after Holm's correction
    analysis.slices.rows["Accent"]                # [Row(label, size, result), ...]; likewise analysis.words, analysis.failures
    print(*map(markdown, analysis.tables), sep="\\n")

Scores are percentages, differences are the first system minus another one, durations are seconds. A `Quantity` holds what is resampled:
statistics (M, N, K) of each system, of M training seeds and N utterances in the manifest's order.

runs.py logs.py        folders of the recipes -> Study
results.py             intervals, differences, p-values of any Quantity
scores.py durations.py slice_part.py word_part.py failure_part.py speed_part.py    the parts, each with its Table
utterances.py sound.py inspections.py    examples, their sound, what checkpoints tell
tables.py comparison_table.py formats.py    Markdown, LaTeX, numbers as text
svg.py charts.py forest.py palette.py    pictures
analysis.py verdict.py page.py template.html style.css    all together
"""
