"""What `speechllm prepare` prints of a corpus and of the folder that it made."""

from pathlib import Path

from speechllm_plugin.text.listing import first_few


def report_absent(split, absent, num_rows):
    for path in dict.fromkeys(row.absent_from for row in absent):
        names = [Path(row.utterance.audio).name for row in absent if row.absent_from == path]
        print(f"{split}: left out {len(names)} of {num_rows} rows that {path} does not have: {first_few(names)}")


def report_held_out(held_out, contents):
    for split, counts in held_out.items():
        for (column, value), count in counts.items():
            print(f"{split}: held out {count} of {len(contents[split])} rows: {column}={value}")


def print_check(root, contents, absent):
    print(f"\n{root}\n{'manifest':<18}{'rows':>9}{'hours':>9}{'left out':>9}")
    for split, manifests in contents.items():
        for name, rows in manifests.items():
            durations = [row.duration_seconds for row in rows]
            hours = "-" if None in durations else f"{sum(durations) / 3600:.2f}"
            print(f"{name:<18}{len(rows):>9}{hours:>9}{len(absent[split]):>9}")
    print("complete; nothing was written")


def print_table(path, contents, facts, vocabularies):
    print(f"\n{path}\n{'split':<18}{'rows':>9}{'hours':>9}{'dropped':>9}")
    for split, fact in facts.items():
        print(f"{' '.join(contents[split]):<18}{fact['rows']:>9}{fact['hours']:>9.2f}{fact['dropped']:>9}")
    for planned in vocabularies:
        tags = f", {len(planned.tags)} language tags among them" if planned.tags else ""
        print(f"{planned.name:<18}{planned.size:>9} pieces{f', copied from {planned.source}' if planned.source else ''}{tags}")
