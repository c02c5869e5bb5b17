"""What personal data and secrets look like in a text: mail and IP addresses, identity and card numbers, keys."""
