"""From recordings to texts with a model folder: `speechllm transcribe` and `speechllm_plugin.load`.

speech_model.py    the model of a folder; its transcribe() is the whole way
recordings.py      sound from files, standard input and arrays
loaded_sound.py    recordings on the device, one behind the other
voice_activity.py  where somebody speaks, by voice_network.py and the level; windows.py cuts recordings there into what the model was trained for
window_search.py   windows in batches -> n-best lists, silence told from speech; word_times.py says when each word is spoken
transcript.py      what comes out; joining.py puts the windows of a recording together again
transcript_formats.py    transcripts as txt, srt, vtt, json and tsv
"""
