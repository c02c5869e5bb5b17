"""Options of a pretraining of seconds: the model and the training of the fixture `chain`."""

TINY_MODEL = [
    "-s", "model.arch=llama",
    "-s", "model.config={hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,"
          " num_key_value_heads: 2, tie_word_embeddings: true}",
]  # fmt: skip
TINY_TRAINING = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "-s", "log_every=1"]
