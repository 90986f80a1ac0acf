"""Search for text: which model scores the next token, and how, is not known here."""
