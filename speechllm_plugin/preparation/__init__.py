"""What makes a data folder of a corpus: `speechllm prepare`, and `speechllm silence`.

corpora.py             CORPORA, the table of corpora; readers/ has a file for each
corpus_row.py          what a corpus says of an utterance; corpus_check.py what is wrong with it
settings.py            what was asked for; hold_out.py which rows training must not see
extraction.py          processes that read audio; feature_archive.py what they store
split_files.py         manifests and features of a split
vocabulary_plan.py     which vocabularies there are to be; vocabulary.py trains them
config_file.py         config.yaml
prepared_folder.py     what is finished, so that a killed run can be completed
silent_split.py        a test set without speech
"""
