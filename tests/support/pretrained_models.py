"""Small models of the classes that pretrained translation models are of, saved as Hugging Face folders; needs the extra nllb."""

import json
import random

import sentencepiece
import torch
import transformers
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M100_LANGUAGES
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB_LANGUAGES

WORDS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben"],
}
SIZES = {
    **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
    **{"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 300, "init_std": 0.1},
    **{"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0},
}
TRAINING_STEPS = 160


def numbers(rng, language, longest=4):
    return [rng.choice(WORDS[language]) for _ in range(rng.randint(1, longest))]


def pieces(path, model_type, **settings):
    """A SentencePiece model over the words of both languages."""
    rng = random.Random(0)
    lines = [" ".join(numbers(rng, language, 8)) for language in ("en", "de") for _ in range(200)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")), model_type=model_type, minloglevel=2, **settings
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(path.with_suffix(".model")))


def save_nllb(folder):
    """Of NLLB-200's classes, with its 202 languages; trained to name digits in German, about a second."""
    folder.mkdir(parents=True)
    pieces(folder / "sentencepiece.bpe.model", "bpe", vocab_size=200, hard_vocab_limit=False)
    tokenizer = transformers.NllbTokenizer.from_pretrained(folder, extra_special_tokens=NLLB_LANGUAGES)
    # Like the real ones, the model has more embeddings than the tokenizer has tokens.
    model = transformers.M2M100ForConditionalGeneration(transformers.M2M100Config(vocab_size=len(tokenizer) + 3, **SIZES))
    optimizer, rng = torch.optim.Adam(model.parameters(), lr=3e-3), random.Random(0)
    for _ in range(TRAINING_STEPS):
        digits = [[rng.randrange(8) for _ in range(rng.randint(1, 4))] for _ in range(32)]
        batch = {}
        for side, language, name in (("source", "en", "eng_Latn"), ("target", "de", "deu_Latn")):
            tokenizer.src_lang = name
            texts = [" ".join(WORDS[language][digit] for digit in row) for row in digits]
            batch[side] = tokenizer(texts, padding=True, return_tensors="pt")
        labels = batch["target"].input_ids.masked_fill(batch["target"].input_ids == tokenizer.pad_token_id, -100)
        loss = model(**batch["source"], labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokenizer.src_lang = "eng_Latn"
    return _save(folder, model, tokenizer)


def save_m2m100(folder):
    folder.mkdir(parents=True)
    spm = pieces(folder / "sentencepiece.bpe.model", "bpe", vocab_size=200, hard_vocab_limit=False)
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *(spm.id_to_piece(index) for index in range(3, spm.get_piece_size()))]
    _write_json(folder / "vocab.json", {piece: index for index, piece in enumerate(vocabulary)})
    languages = [f"__{code}__" for code in M2M100_LANGUAGES["m2m100"]]
    files = (str(folder / name) for name in ("vocab.json", "sentencepiece.bpe.model"))
    tokenizer = transformers.M2M100Tokenizer(*files, additional_special_tokens=languages)
    config = transformers.M2M100Config(vocab_size=len(tokenizer) + tokenizer.num_madeup_words, **SIZES)
    return _save(folder, _wordy(transformers.M2M100ForConditionalGeneration(config), len(vocabulary)), tokenizer)


def save_marian(folder, tags=()):
    """With tags (>>deu<<) a model of several target languages."""
    folder.mkdir(parents=True)
    spm = pieces(folder / "source.model", "unigram", vocab_size=60, hard_vocab_limit=False)
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes((folder / "source.model").read_bytes())
    vocabulary = ["</s>", "<unk>", *tags, *(spm.id_to_piece(index) for index in range(3, spm.get_piece_size())), "<pad>"]
    _write_json(folder / "vocab.json", {piece: index for index, piece in enumerate(vocabulary)})
    names = {"source_lang": "en", "target_lang": "de"} if not tags else {"source_lang": "en", "target_lang": "gem"}
    tokenizer = transformers.MarianTokenizer(*(str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")), **names)
    pad = len(vocabulary) - 1
    config = transformers.MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, forced_eos_token_id=None, **SIZES
    )
    model = transformers.MarianMTModel(config)
    with torch.no_grad():
        model.final_logits_bias[0, pad] = -1e9  # as Marian's converter sets it: the padding is no word
    return _save(folder, model, tokenizer)


def save_tagged_marian(folder):
    return save_marian(folder, tags=(">>deu<<", ">>nld<<"))


def save_mbart50(folder):
    folder.mkdir(parents=True)
    spm = pieces(folder / "sentencepiece.bpe.model", "unigram", vocab_size=60, hard_vocab_limit=False)
    tokenizer = transformers.MBart50Tokenizer.from_pretrained(folder, src_lang="en_XX", bos_token="<s>")
    # bos_token and normalize_before stand in the published models' files, and the converter reads them.
    published = {"decoder_start_token_id": 2, "tokenizer_class": "MBart50Tokenizer", "normalize_before": True}
    config = transformers.MBartConfig(vocab_size=len(tokenizer), forced_eos_token_id=None, **published, **SIZES)
    return _save(folder, _wordy(transformers.MBartForConditionalGeneration(config), spm.get_piece_size()), tokenizer)


def save_t5(folder, tags=()):
    """With tags (<2de>) a model as MADLAD-400 has them."""
    folder.mkdir(parents=True)
    symbols = {"user_defined_symbols": ",".join(tags)} if tags else {}
    pieces(folder / "spiece.model", "unigram", vocab_size=70, hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, **symbols)
    tokenizer = transformers.T5Tokenizer.from_pretrained(folder, extra_ids=0)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4, "dropout_rate": 0.0, "initializer_factor": 2.0}
    config = transformers.T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, feed_forward_proj="gated-gelu", **sizes)
    return _save(folder, transformers.T5ForConditionalGeneration(config), tokenizer)


def save_madlad(folder):
    return save_t5(folder, tags=("<2de>", "<2fr>"))


def _wordy(model, num_pieces):
    """The model, which says words rather than tags: their logits, products with the embeddings, are wider spread."""
    with torch.no_grad():
        model.get_input_embeddings().weight[4:num_pieces] *= 3
    return model


def _save(folder, model, tokenizer):
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
