"""Put what tasks ask to a model that a runtime has loaded, and keep what it answers."""
