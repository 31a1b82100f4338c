"""Clients that take rows, for the embedded server and TensorFlow Serving alike."""

from serving.client.async_client import AsyncClient
from serving.client.channel import ClientTLS
from serving.client.choice import Canary
from serving.client.client import Client
from serving.client.rows import RequestRowError
from serving.errors import ServingError

__all__ = [
    "AsyncClient",
    "Canary",
    "Client",
    "ClientTLS",
    "RequestRowError",
    "ServingError",
]
