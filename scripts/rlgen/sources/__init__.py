"""What others published, brought in once and checked: data, models, tokenizers (docs/real-models.md)."""
