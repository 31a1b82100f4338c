"""What the processes of models have imported when they are forked."""

from serving.commands.terminal import notices_left_out

with notices_left_out():
    import serving.embedded.isolation  # noqa: F401
