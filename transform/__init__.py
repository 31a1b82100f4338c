"""From raw rows to the models' inputs: Beam ingestion and TensorFlow Transform."""
