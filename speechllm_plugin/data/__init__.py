"""What training and decoding read of a data folder. What makes the folder is in preparation/.

    manifest.py            the rows of SPLIT.tsv: Utterance
    manifest_blocks.py     its columns in blocks, for millions of rows; packed.py: such rows in flat arrays
    data_config.py         config.yaml: vocabularies, transforms, languages
    audio.py features.py   sound files and archives -> filterbanks (T, 80); augmentation.py masks them
    sound_file.py          whole sound files, or errors; containers/ examines what each promises of its length
    recording.py           where the sound of a row can be heard
    row_dataset.py         batches of rows: order, size, repeats; speech_dataset.py with speech, text_dataset.py with source texts
    batch_shapes.py        batches of few shapes; sent_batches.py sends them from workers
    speech_texts.py        what a speech model learns to write: targets, transcripts, a teacher's texts
    kd_texts.py            a teacher's texts in a manifest; teacher_cache.py a teacher's word probabilities

One word means one thing: a recording is a sound file, an utterance a row of a manifest; features are frames (10 ms) of filterbanks;
targets are what the decoder learns, asr_targets the transcripts as targets, transcripts those that the CTC head learns.
"""
