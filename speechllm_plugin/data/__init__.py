"""From corpora to manifests, features and vocabularies."""
