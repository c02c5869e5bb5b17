"""Models behind an interface: texts that are written side by side, and HTTP on top of them."""
