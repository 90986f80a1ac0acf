"""Tables of a report, for the page, Markdown and LaTeX."""
