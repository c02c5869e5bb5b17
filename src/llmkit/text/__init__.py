"""What text is made of, defined once: characters by kind and script, words, sentences."""
