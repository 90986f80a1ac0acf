"""Package speechllm_plugin. recipes/environment.sh reads the three lists below, without running this file, to judge an active environment."""

from setuptools import find_packages, setup

# "wheels" below: no older release has wheels for Python 3.12, and building one asks for compilers and libraries.
REQUIREMENTS = [
    "torch>=2.6",  # torch.load refuses pickled code by default; our checkpoint loading is written for that
    "numpy>=1.26",  # wheels
    "hydra-core>=1.3.2",  # fairseq-fixed: the release it was repaired for
    "omegaconf>=2.3.0",  # fairseq-fixed: likewise
    "bitarray>=2.8.2",  # fairseq imports it; wheels
    "scikit-learn>=1.3.2",  # fairseq imports it (with SciPy); wheels
    "regex>=2023.10.3",  # fairseq and sacrebleu; wheels
    "sacrebleu>=2.4,<3",  # the metrics' interface; below 3 for the statistics of a sentence, which are private there
    "editdistance>=0.8.1",  # wheels
    "rapidfuzz>=3.9",  # word alignments, which editdistance does not give; wheels
    "langcodes>=3.5",  # the codes of languages without a data package, which 3.5 does not need any more
    "sentencepiece>=0.2.0",  # wheels
    "soundfile>=0.12.1",  # its wheels bring a libsndfile that reads mp3 and opus
    "soxr>=0.3.7",  # wheels
    "kaldi-native-fbank>=1.19.1",  # wheels
    "pyyaml>=6.0.1",  # wheels, with the C loader
    "threadpoolctl>=3.2",  # one thread while many small products are made, where several are slower; comes with scikit-learn
    "tqdm>=4.66",  # fairseq imports it; progress bars, which the environment variable TQDM_DISABLE turns off
]
EXTRAS = {
    "bench": ["matplotlib>=3.8"],  # speechllm bench --plot; wheels
    "report": ["matplotlib>=3.8", "jinja2>=3.1"],  # speechllm report: charts and the page, which escapes all texts; wheels
    "asian": ["sacrebleu[ja,ko]>=2.4"],  # BLEU of Japanese and Korean, whose words need a dictionary to be told apart
    "slurm": ["submitit>=1.5"],  # recipes/study.sh --slurm
    "demo": ["espeakng-loader>=0.2.4"],  # espeak-ng and its voices in one wheel: speech without a download of recordings
    # pangolinn: behaviour suites for padding and causality; xdist: tests on several cores
    "test": ["pytest>=8", "pytest-xdist>=3.6", "pangolinn>=0.0.1"],
    # speechllm translate, from the releases on that it is tested with. ctranslate2 runs the models, transformers reads and tokenizes them;
    # sacremoses: Marian's tokenizers silently do without it; protobuf: reads tokenizers that are published as SentencePiece models only
    "nllb": ["ctranslate2>=4.8.5", "transformers>=5.23", "sacremoses>=0.2", "protobuf>=7.36"],
}
# Not among the requirements: pip would build fairseq against a second torch and bring torchaudio, which is never imported here.
# recipes/environment.sh installs it with --no-build-isolation --no-deps; what it really imports stands above.
BUILT_FROM_SOURCE = ["fairseq-fixed==0.12.3.1"]

setup(
    name="speechllm_plugin",
    version="0.1.0",
    description="fairseq plugin that compares dense feature prepending with cross-attention for speech-to-text",
    python_requires=">=3.11,<3.13",  # fairseq-fixed is a repair for 3.11 and 3.12
    packages=find_packages(include=["speechllm_plugin", "speechllm_plugin.*"]),
    package_data={
        "speechllm_plugin.scoring": ["*.yaml"],
        "speechllm_plugin.reporting": ["*.html", "*.css"],
        "speechllm_plugin.reporting.parts": ["*.html"],
    },
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["speechllm = speechllm_plugin.commands.cli:main"]},
)
