"""What S3 servers and botocore refuse, in our own words.

Of what they say, an error repeats no more than a code or the name of an exception: messages quote headers, signatures
and query strings.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from distributed_prompt.errors import (
    AccessError,
    AddressError,
    DPromptError,
    PackChangedError,
    PackNotFoundError,
    RemoteError,
)

CREDENTIALS_HINT = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws/credentials in AWS_PROFILE"
)

_FORBIDDEN = 403
_NOT_FOUND = 404
_UNSUPPORTED = frozenset((405, 501))
_CONFLICT = 409
_PRECONDITION_FAILED = 412
_RANGE_NOT_SATISFIABLE = 416
_CODE = re.compile(r"[A-Za-z0-9._]{1,64}")
# Codes that come with statuses of other meanings, such as 400 for an expired token.
_REFUSALS = frozenset(
    (
        "AccessDenied",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedAccess",
    )
)
_LOST = frozenset(("InvalidPart", "InvalidPartOrder", "NoSuchUpload"))
_CREDENTIALS_ERRORS = (
    "ConfigNotFound",
    "ConfigParseError",
    "CredentialRetrievalError",
    "LoginError",
    "MetadataRetrievalError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "RefreshWithMFAUnsupportedError",
    "SSOError",
    "TokenRetrievalError",
)


class UnsupportedError(RemoteError):
    """The server says that it does not do what was asked; something simpler may work."""


class UploadLostError(PackChangedError):
    """Another writer has ended the upload, or put parts of its own into it."""


class RequestedObject(Protocol):
    """The object that a request was about."""

    bucket: str

    @property
    def address(self) -> str:
        """As users write it."""

    @property
    def is_anonymous(self) -> bool:
        """Whether requests go without credentials."""

    def server(self) -> str:
        """The server's name and port."""


@contextmanager
def typed(place: RequestedObject) -> Iterator[None]:
    """Say what the server refused, or why it cannot be asked, in our own words.

    Raises:
        PackNotFoundError: there is no such object, or no such bucket.
        AccessError: the server refuses: no credentials, wrong ones, or ones that do not allow it.
        PackChangedError: the object is not the one that the request was about.
        RemoteError: the server cannot be reached, or fails again and again; an UnsupportedError if it says that it
            does not do what was asked.
        AddressError: botocore takes no such names.
    """
    try:
        yield
    except DPromptError:
        raise
    except Exception as error:
        ours = _translated(place, error)
        if ours is None:
            raise
        # Not "from error": a traceback would show what botocore says, with what was sent.
        raise ours from None


def _translated(place: RequestedObject, error: Exception) -> DPromptError | None:
    from botocore import exceptions  # type: ignore[import-untyped]  # noqa: PLC0415  # whatever raised has imported it
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]  # noqa: PLC0415  # as above
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  # as above

    if isinstance(error, exceptions.ClientError):
        return _of_answer(place, error.response)
    kind = type(error).__name__
    credentials = tuple(found for name in _CREDENTIALS_ERRORS if (found := getattr(exceptions, name, None)))
    if isinstance(error, credentials):
        return AccessError(f"{place.address}: no usable credentials ({kind}); {CREDENTIALS_HINT}")
    if isinstance(error, exceptions.ParamValidationError):
        return AddressError(f"{place.address}: not a name that S3 takes")
    if isinstance(error, (exceptions.BotoCoreError, ResponseParserError, HTTPError)):
        return RemoteError(f"{place.address}: {place.server()} cannot be used ({kind})")
    return None


def _of_answer(place: RequestedObject, response: dict[str, Any]) -> DPromptError:
    """What an answer other than success means."""
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(response.get("Error", {}).get("Code", ""))
    code = code if _CODE.fullmatch(code) else "?"
    told = f"{status} {code}" if code != str(status) else code
    if code == "NoSuchBucket":
        return PackNotFoundError(f"{place.address}: there is no bucket {place.bucket}")
    if code in _LOST:
        return UploadLostError(f"{place.address}: another writer works on the same upload ({code}); push again")
    if status == _FORBIDDEN or code in _REFUSALS:
        hint = f"; no credentials were found: {CREDENTIALS_HINT}" if place.is_anonymous else ""
        return AccessError(f"{place.address}: {place.server()} refuses the request ({told}){hint}")
    if status in {_CONFLICT, _PRECONDITION_FAILED, _RANGE_NOT_SATISFIABLE}:
        return PackChangedError(f"{place.address}: another writer has changed it meanwhile ({told})")
    if status == _NOT_FOUND:
        return PackNotFoundError(f"{place.address}: no such object")
    kind = UnsupportedError if status in _UNSUPPORTED else RemoteError
    return kind(f"{place.address}: {place.server()} fails ({told})")
