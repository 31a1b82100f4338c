"""The embedded server: TensorFlow Serving's APIs, labels and messages, in Python."""
