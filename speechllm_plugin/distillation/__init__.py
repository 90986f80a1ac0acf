"""Sequence-level knowledge distillation: a teacher's translations, made, checked and put into manifests."""
