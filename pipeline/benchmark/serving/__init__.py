"""The load benchmark of serving: MI-DPG beside the MLP, over gRPC and REST."""
