"""Evaluation protocols: who is trained on and who is tested on."""
