"""Runs the server: `python -m serving --model_name=m --model_base_path=/models/m`."""

from serving.cli import serve

serve(prog_name="python -m serving")
