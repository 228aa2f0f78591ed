"""The Hugging Face hub, asked with patience: for data sets and for models alike.

Within a `session` each request has a time-out and nobody is told of it. What fails on the way and
may pass is asked again, a few times (`patiently`); what does not pass is told in one clear phrase
with what to do about it (`failure`). The client alone does neither: it lists files without any
time-out, and of a stalled, a missing and a forbidden file it tells the same.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

__all__ = [
    "Met",
    "Repository",
    "chain",
    "commit",
    "failure",
    "parse",
    "patiently",
    "reason",
    "session",
    "setting",
    "suggestion",
]

T = TypeVar("T")

Met = list[Exception | int]
"""The last trouble of the hub's client: an error, or a status that may pass; empty for none."""

_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WAITS = (1.0, 2.0, 4.0)  # s, before the second request, the third and the fourth
_LONGEST_WAIT = 60  # s, however long the hub asks to be left alone
_PASSING = (408, 429, 500, 502, 503, 504)
_CLIENT_TRIES = (408, 429)  # for which the client itself asks for a file again, with GET

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Repository:
    """What is asked of the hub.

    Attributes:
        kind: `dataset` or `model`.
        id: Its owner and name, such as `openai/whisper-tiny`.
        revision: The branch, tag or commit that was asked for; None is the branch `main`.
    """

    kind: Literal["dataset", "model"]
    id: str
    revision: str | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a whole commit, which no one can change."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None


def parse(kind: Literal["dataset", "model"], name: str) -> Repository | None:
    """Return what `owner/name` or `owner/name@revision` means; None for any other name."""
    found = _ID.fullmatch(name)
    return Repository(kind, found["id"], found["revision"]) if found else None


# --- asking ---------------------------------------------------------------------------------------


@contextmanager
def session(*, offline: bool = False) -> Iterator[Met]:
    """Keep the hub's client from telling anybody of a loading, and from waiting on and on.

    Lent is what the client meets in the block, for `failure`.

    Args:
        offline: Whether the hub must not be asked at all.
    """
    # Here as everywhere in this module: importing the client takes a third of a second.
    from huggingface_hub import constants  # noqa: PLC0415

    # Settings are read from the environment at import, so they are set where they are kept.
    wanted: list[tuple[Any, str, object]] = [
        (constants, "HF_HUB_DISABLE_TELEMETRY", True),
        # Xet has a transport of its own, which knows nothing of the client's time-outs.
        (constants, "HF_HUB_DISABLE_XET", True),
    ]
    if offline:
        wanted.append((constants, "HF_HUB_OFFLINE", True))
    met: Met = []
    with setting(*wanted), _bounded(met):
        yield met


def commit(repository: Repository) -> tuple[str | None, Exception | None]:
    """Return the commit of a revision whose files may be read, or why the hub does not answer.

    Where it does not answer, what was loaded before may still be used. An answer that it may not be
    had, or is not there, is raised as the client raises it.
    """
    from huggingface_hub import HfApi, constants  # noqa: PLC0415
    from huggingface_hub.errors import OfflineModeIsEnabled  # noqa: PLC0415

    api = HfApi()

    def ask() -> str | None:
        info = api.repo_info(
            repository.id,
            revision=repository.revision,
            repo_type=repository.kind,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
        if getattr(info, "gated", False):
            # Everybody may read of a gated one; whether its files are open is asked apart.
            api.auth_check(repository.id, repo_type=repository.kind)
        sha: str | None = info.sha
        return sha

    try:
        return patiently(repository.id, ask), None
    except Exception as error:
        if not _may_pass(error) and not isinstance(error, OfflineModeIsEnabled):
            raise
        return None, error


def patiently(what: str, ask: Callable[[], T], *, library_tries: bool = False) -> T:
    """Return what the hub gives, asked up to three times more while a failure may pass.

    Where not even a connection is made there is mostly no network: that is tried once more.

    Args:
        what: What is asked for, in the log.
        ask: Makes the requests, and may be called again.
        library_tries: Whether the library that `ask` calls has asked again by itself where nobody
            answered.
    """
    for number, wait in enumerate(_WAITS):
        try:
            return ask()
        except Exception as error:
            unconnected = any(isinstance(each, _http().ConnectError) for each in chain(error))
            if not _may_pass(error, library_tries=library_tries) or (unconnected and number):
                raise
            asked = (_wanted_wait(r) for each in chain(error) if (r := _response(each)) is not None)
            pause = min(max(wait, *asked, 0), _LONGEST_WAIT)
            _log.info("%s: %s; the hub is asked again in %g s", what, reason(error), pause)
        time.sleep(pause)
    return ask()


def _may_pass(error: Exception, *, library_tries: bool = False) -> bool:
    """Return whether the same request may succeed a moment later, and was not tried enough."""
    http = _http()
    for each in chain(error):
        response = _response(each)
        if response is not None:
            request = response.request
            asked_again = library_tries and (
                request.method == "HEAD"
                or (response.status_code in _CLIENT_TRIES and "/api/" not in str(request.url))
            )
            return response.status_code in _PASSING and not asked_again
        if isinstance(each, http.TimeoutException | http.ConnectError):
            return not library_tries
        if isinstance(each, http.TransportError):
            return True
    return False


def _wanted_wait(response: Any) -> int:
    """Return how long the hub asks to be left alone, in seconds.

    Beside Retry-After it is told as `RateLimit: "api";r=0;t=55`, with r requests left for t seconds
    (draft-ietf-httpapi-ratelimit-headers-09).
    """
    after = response.headers.get("Retry-After", "").strip()
    limit = re.search(r";\s*r=0\s*;\s*t=(\d+)", response.headers.get("RateLimit", ""))
    told = [after] if after.isdigit() else []
    if limit and response.status_code == 429:
        told.append(limit[1])
    return max((int(each) for each in told), default=0)


@contextmanager
def setting(*wanted: tuple[Any, str, object]) -> Iterator[None]:
    """Give attributes of libraries (module, name, value) another value in the block."""
    before = [(place, name, getattr(place, name, None)) for place, name, _ in wanted]
    try:
        for place, name, value in wanted:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)


@contextmanager
def _bounded(met: Met) -> Iterator[None]:
    """Bound each request of the hub's client in time, and how long it waits to ask again.

    `met` is kept to the last failure to get an answer, or the last status that may pass.
    """
    from huggingface_hub import constants, set_client_factory  # noqa: PLC0415
    from huggingface_hub.utils import _http as client  # noqa: PLC0415

    longest = float(max(constants.HF_HUB_DOWNLOAD_TIMEOUT, constants.HF_HUB_ETAG_TIMEOUT))
    factory: Callable[[], Any] = client._GLOBAL_CLIENT_FACTORY

    def made() -> Any:
        made_client = factory()
        send = made_client.send

        def bounded(request: Any, **options: Any) -> Any:
            given = request.extensions.get("timeout", {})
            phases = ("connect", "read", "write", "pool")
            limits = {phase: min(given.get(phase) or longest, longest) for phase in phases}
            request.extensions["timeout"] = limits
            try:
                response = send(request, **options)
            except Exception as error:
                met[:] = [error]
                raise
            if response.status_code in _PASSING:
                met[:] = [response.status_code]
                # The client would wait as long as it is told to, be it hours.
                if wait := _wanted_wait(response):
                    response.headers.pop("RateLimit", None)
                    response.headers["Retry-After"] = str(min(wait, _LONGEST_WAIT))
            return response

        made_client.send = bounded
        return made_client

    set_client_factory(made)
    try:
        yield
    finally:
        set_client_factory(factory)


# --- telling --------------------------------------------------------------------------------------


def failure(
    repository: Repository, error: Exception, *, met: Met, known: Sequence[str] = ()
) -> str:
    """Return why the hub does not give a repository, and what to do about it: a predicate.

    Args:
        repository: What was asked for.
        error: What was raised; what it came from is looked at too.
        met: What the session met: the library above may hide it.
        known: Ids that may have been meant.
    """
    from huggingface_hub import constants  # noqa: PLC0415

    causes = [*chain(error)]
    statuses = [
        response.status_code for each in causes if (response := _response(each)) is not None
    ]
    if not any(isinstance(each, _http().HTTPError) for each in causes):
        causes += [each for each in met if isinstance(each, Exception)]
        statuses += [each for each in met if isinstance(each, int)]
    folder = "datasets/" if repository.kind == "dataset" else ""
    page = f"{constants.ENDPOINT}/{folder}{repository.id}"
    unreached = f"cannot be loaded, for the hub cannot be reached: {reason(error)}"
    answered = f"cannot be loaded: {_answer(statuses[0])}" if statuses else unreached
    told = {
        "gated": f"is gated: accept its terms on {page}, and then log in with `hf auth login` or"
        " set HF_TOKEN",
        "revision": f"has no revision {repository.revision!r}: give a branch, a tag or a whole"
        f" commit, see {page}/commits/main",
        "missing": "is not on the hub, nor a folder here: check the id"
        f"{suggestion(repository.id, known)}; a private one is found after `hf auth login` or with"
        " HF_TOKEN",
        "offline": "is not in the cache, and HF_HUB_OFFLINE keeps the hub from being asked: unset"
        " it where there is a network",
        "slow": "cannot be loaded: the hub did not answer in time, though asked several times; try"
        " later, or raise HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT (now"
        f" {constants.HF_HUB_DOWNLOAD_TIMEOUT} s and {constants.HF_HUB_ETAG_TIMEOUT} s)",
        "unreached": answered,
        "other": f"cannot be loaded: {reason(error)}",
    }
    return told[_meaning(causes)]


def _meaning(causes: Sequence[BaseException]) -> str:
    """Return the kind of a failure, from the most particular to the most general."""
    from huggingface_hub import errors as client  # noqa: PLC0415

    http = _http()
    # The order matters: each error is also of a kind further down.
    meanings: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
        ("gated", (client.GatedRepoError,)),
        ("revision", (client.RevisionNotFoundError,)),
        ("missing", (client.RepositoryNotFoundError, client.HFValidationError)),
        ("offline", (client.OfflineModeIsEnabled,)),
        ("slow", (http.TimeoutException, TimeoutError)),
        ("unreached", (http.HTTPError, ConnectionError, client.LocalEntryNotFoundError)),
    )
    found = (name for name, kinds in meanings if any(isinstance(each, kinds) for each in causes))
    return next(found, "other")


def _answer(status: int) -> str:
    """Return what a status means that the hub answered with."""
    if status == 429:
        return (
            "the hub has had too many requests from here (429); wait some minutes, or log in with"
            " `hf auth login`, which allows more"
        )
    if status in (401, 403):
        return f"the hub refuses it ({status}); check HF_TOKEN, or log in with `hf auth login`"
    if status in _PASSING:
        return f"the hub is in trouble (status {status}), though asked several times; try later"
    return f"the hub answers with status {status}"


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return ` (did you mean …?)` where a known name is near; else nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def reason(error: Exception) -> str:
    """Return what an error says in a line, with what it came from."""
    # The data sets' "An error occurred" keeps what happened to its cause.
    told = [each for each in (error, error.__cause__) if each is not None]
    lines = [str(each).strip().split("\n")[0] or type(each).__name__ for each in told]
    return ": ".join(dict.fromkeys(lines))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _http() -> Any:
    """Return the HTTP library of the hub's client: httpx, or httpx2 since huggingface_hub 2."""
    from huggingface_hub import errors as client  # noqa: PLC0415

    kind: type[Exception] = client.HTTPError  # type: ignore[attr-defined]
    return importlib.import_module(kind.__module__.partition(".")[0])


def _response(error: BaseException) -> Any:
    """Return the hub's answer that an error stands for; None where there is none."""
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    return error.response if isinstance(error, HfHubHTTPError) else None
