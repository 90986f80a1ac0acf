"""Texts as such: words, scripts, languages, normalisation."""
