"""Runs the server: `python -m serving --model_name=m --model_base_path=/models/m`."""

from serving.cli import serve

# Processes of models import this module too, under another name.
if __name__ == "__main__":
    serve(prog_name="python -m serving")
