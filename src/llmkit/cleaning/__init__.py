"""Turn raw records into a corpus: a plan of tasks over input files, steps per document, one ordered merge."""
