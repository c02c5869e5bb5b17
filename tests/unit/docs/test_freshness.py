from freshness import moved


def test_what_moved_is_told_from_what_is_built_otherwise():
    constraints = "# torch==1\ntorch==2.13.0\nPyYAML==6.0.3\nhuggingface_hub==2.4.0\n"
    installed = {"torch": "2.13.0+cpu", "pyyaml": "6.0.4", "huggingface-hub": "2.4.0", "zipp": "4.1.2"}
    assert moved(constraints, installed) == [("pyyaml", "6.0.3", "6.0.4"), ("zipp", "-", "4.1.2")]
