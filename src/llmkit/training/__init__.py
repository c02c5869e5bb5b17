"""The one training loop, its optimizer, schedule and checkpoints."""
