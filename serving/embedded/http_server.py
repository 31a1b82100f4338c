"""The HTTP port: REST and metrics, on aiohttp."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Coroutine
from concurrent import futures
from typing import Any, TypeVar

import grpc
from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, web, web_protocol

from serving.embedded.compression import ENCODINGS, decompress
from serving.embedded.handler import RequestHandler
from serving.embedded.metrics import read_metrics_path
from serving.embedded.options import ServerOptions
from serving.embedded.ports import listen
from serving.embedded.rest import Answer, RestApi, error_answer
from serving.errors import ServingError, invalid
from serving.tls import TLS

_Result = TypeVar("_Result")


class HttpServer:
    """Serves REST, and metrics if asked to, from a thread of its own.

    Args:
        handler: Answers a request, and has the metrics.
        options: Address, port and limits; a body counts after decompression.
        tls: Keys and certificates, `None` for plain HTTP.

    Raises:
        ServingError: The monitoring configuration is illegal.

    Attributes:
        port: The port, once it is open.
    """

    def __init__(
        self, handler: RequestHandler, options: ServerOptions, tls: TLS | None
    ) -> None:
        self.port = 0
        self._options = options
        self._tls = tls
        self._api = RestApi(handler, options.rest_api_timeout_in_ms / 1000 or None)
        self._metrics = handler.metrics
        self._metrics_path = read_metrics_path(options.monitoring_config_file)
        self._busy = 0
        self._draining = False
        self._workers = futures.ThreadPoolExecutor(
            options.max_concurrent_requests, "rest"
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="http", daemon=True
        )
        self._runner: web.ServerRunner | None = None

    def start(self) -> None:
        """Opens the port.

        Raises:
            OSError: It is in use, or not ours to open.
        """
        self._thread.start()
        port = max(self._options.rest_api_port, 0)
        try:
            self.port = self._in_loop(self._open(port))
        except OSError as error:
            self.stop(0)
            reason = os.strerror(error.errno or errno.EINVAL)
            raise OSError(error.errno, f"can't open port {port}: {reason}") from error

    def stop(self, grace: float | None) -> None:
        """Takes no more requests, and waits for those in flight to end.

        Args:
            grace: Seconds until they are cancelled; `None` cancels at once.
        """
        if self._thread.is_alive():
            self._in_loop(self._close(grace or 0))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._workers.shutdown(wait=False)

    def _in_loop(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _open(self, port: int) -> int:
        server = _Server(
            self._handle,
            request_factory=self._request,
            access_log=None,
            # Its own takes a gzip without its end for a whole one.
            auto_decompress=False,
        )
        # What is in flight has its time in _close; the runner need give it no more.
        self._runner = web.ServerRunner(
            server, handle_signals=False, shutdown_timeout=1.0
        )
        await self._runner.setup()
        ssl_context = self._tls.ssl_context() if self._tls else None
        opened = listen(self._options.host, port)
        site = web.SockSite(self._runner, opened, ssl_context=ssl_context)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _close(self, grace: float) -> None:
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            self._draining = True
            if self._runner.server is not None:
                for connection in self._runner.server.connections:
                    connection.drain()  # type: ignore[attr-defined]
            end = self._loop.time() + grace
            while self._busy and self._loop.time() < end:
                await asyncio.sleep(0.02)
            await self._runner.cleanup()

    def _request(
        self,
        message: object,
        payload: StreamReader,
        protocol: web_protocol.RequestHandler,
        writer: object,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        protocol.body = payload  # type: ignore[attr-defined]
        return web.BaseRequest(
            message,  # type: ignore[arg-type]
            payload,
            protocol,
            writer,  # type: ignore[arg-type]
            task,
            self._loop,
            client_max_size=self._options.max_message_bytes,
        )

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path = request.rel_url.raw_path
        if self._metrics_path and path == self._metrics_path:
            return web.Response(body=self._metrics.page(), content_type="text/plain")
        if not path.lower().startswith("/v1/"):
            return web.Response(status=404, text="Not Found")
        self._busy += 1
        try:
            response = await self._answer(request, path)
        finally:
            self._busy -= 1
        if self._draining:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest, path: str) -> web.Response:
        if self._busy > self._options.max_concurrent_requests:
            return _refusal(_exhausted("too many requests; try again later"))
        try:
            expected = request.headers.get("Expect", "").lower()
            if expected == "100-continue" and request.version >= HttpVersion11:
                # In aiohttp, web.Application does this, in front of handlers.
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            # A body that never comes would keep its place for ever.
            async with asyncio.timeout(self._api.timeout):
                body = await request.read()
            body = await self._decompressed(body, request)
        except web.HTTPRequestEntityTooLarge:
            most = self._options.max_message_bytes
            return _refusal(_exhausted(f"the body is larger than {most} bytes"))
        except (web.RequestPayloadError, ConnectionError) as error:
            # Of a lost connection, aiohttp finds out as it writes the answer.
            return _last_refusal(400, f"the body can't be read: {error}")
        except TimeoutError:
            # Nobody waits for the rest of it.
            request.content.feed_eof()
            return _last_refusal(
                408, f"the body did not come within {self._api.timeout:g} s"
            )
        return _response(
            await self._loop.run_in_executor(
                self._workers, self._api.answer, request.method, path, body
            )
        )

    async def _decompressed(self, body: bytes, request: web.BaseRequest) -> bytes:
        encoding = request.headers.get("Content-Encoding", "").lower()
        if encoding not in ENCODINGS:
            return body
        most = self._options.max_message_bytes
        try:
            content = await self._loop.run_in_executor(
                self._workers, decompress, body, encoding, most
            )
        except ValueError as error:
            raise web.RequestPayloadError(str(error)) from error
        if len(content) > most:
            raise web.HTTPRequestEntityTooLarge(most, len(content))
        return content


class _Protocol(web_protocol.RequestHandler):
    """Answers what is no HTTP with an error as any other, and logs no traceback.

    What clients do isn't logged at all, so that only defects are.

    Attributes:
        body: That of the request which is answered, or was last.
    """

    body: StreamReader = EMPTY_PAYLOAD

    def drain(self) -> None:
        """Ends the connection: at once without a whole head, else after its request."""
        if self._waits():
            # close() would leave it open, and what comes unread.
            self.force_close()
        elif self._has_whole_requests():
            self.close()
        else:
            # Closed now, aiohttp would take no more of the body, and wait for it. An
            # answer to come closes by itself; one given before its body is whole not.
            self.keep_alive(False)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Lets a client that has sent its whole request wait for the answer."""
        if self.ssl_context or self._waits() or not self._has_whole_requests():
            return False
        # After the answer, for nothing more of the connection would be seen.
        self.close()
        return True

    def _waits(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _has_whole_requests(self) -> bool:
        bodies = [self.body, *(body for _, body in self._messages)]
        return all(body.is_eof() for body in bodies)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status == 400:
            return _last_refusal(400, f"Malformed request: {message}")
        return super().handle_error(request, status, exc, message)


class _Server(web.Server):
    def __call__(self) -> web_protocol.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status, text=answer.body, content_type="application/json"
    )


def _refusal(error: ServingError) -> web.Response:
    return _response(error_answer(error))


def _exhausted(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def _last_refusal(status: int, message: str) -> web.Response:
    """Returns a refusal after which the connection is closed, and says so."""
    response = _refusal(invalid(message))
    response.set_status(status)
    response.force_close()
    return response
