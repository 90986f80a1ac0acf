"""Simultaneous decoding, in which text is written while the speech arrives: `speechllm simulate`.

alignatt.py            the policy: which tokens of a hypothesis may be written, by the speech that they attend to
latency_units.py       words or characters: what is written at a time, and what delays are counted of
incremental_model.py   a model that reads what has arrived, and continues the text that is written already
streams.py             an utterance as it arrives, and the text that is written of it
simulation.py          the rows of a manifest, under several thresholds
latency.py             AL and LAAL of the delays
simulation_scores.py   quality and latency of a test set, as a table; latency_plot.py draws them
instance_log.py        what happened with each utterance, in the files of SimulEval
simuleval_agent.py     the same policy for the command `simuleval`
"""
