"""What production sends against what the model was trained on."""
