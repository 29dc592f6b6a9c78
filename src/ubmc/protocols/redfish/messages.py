"""The messages of DMTF's Base registry that we send: ids and arguments are the registry's, the words are ours.

Every refusal of the Redfish door is a `RedfishError`, which is a status and one or more of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ubmc.kit.errors import FACES, Exhausted, UbmcError

BASE = "Base.1.22"
MESSAGE_TYPE = "#Message.v1_3_0.Message"

# key: severity, what happened, what to do. %1, %2, ... are the arguments.
_TEXTS: dict[str, tuple[str, str, str]] = {
    "Success": ("OK", "Done.", "Nothing needs to be done."),
    "Created": ("OK", "The resource was made.", "Nothing needs to be done."),
    "NoOperation": ("Warning", "The body holds nothing that would change anything.", "Send a property to change."),
    "PropertyUnknown": ("Warning", "There is no property %1 here.", "Leave the property out."),
    "PropertyValueTypeError": ("Warning", "'%1' is of the wrong type for %2.", "Send a value of the right type."),
    "PropertyValueFormatError": ("Warning", "'%1' has the wrong format for %2.", "Send a value of the right format."),
    "PropertyValueNotInList": ("Warning", "'%1' is none of the values that %2 can have.", "Choose one of the list."),
    "PropertyValueOutOfRange": ("Warning", "'%1' is out of the range of %2.", "Choose a value within the range."),
    "PropertyValueError": ("Warning", "The value of %1 cannot be used.", "Correct the value."),
    "PropertyValueConflict": ("Warning", "%1 contradicts the value of %2.", "Make the two agree."),
    "PropertyNotWritable": ("Warning", "%1 can only be read.", "Leave the property out."),
    "PropertyMissing": ("Warning", "%1 is missing.", "Send the property too."),
    "CreateFailedMissingReqProperties": ("Critical", "Nothing can be made without %1.", "Send the property too."),
    "MalformedJSON": ("Critical", "The body is not JSON.", "Send a JSON object."),
    "UnrecognizedRequestBody": ("Warning", "The body cannot be understood.", "Send a JSON object."),
    "EmptyJSON": ("Warning", "The body is an empty object.", "Send at least one property."),
    "ActionNotSupported": ("Critical", "There is no action %1 here.", "See Actions of the resource."),
    "ActionParameterMissing": ("Critical", "%1 needs the parameter %2.", "Send the parameter too."),
    "ActionParameterUnknown": ("Warning", "%1 has no parameter %2.", "Leave the parameter out."),
    "ActionParameterNotSupported": ("Warning", "%1 of %2 is not supported here.", "Leave the parameter out."),
    "ActionParameterValueTypeError": ("Warning", "'%1' is of the wrong type for %2 of %3.", "Send the right type."),
    "ActionParameterValueFormatError": ("Warning", "'%1' has the wrong format for %2 of %3.", "Correct the format."),
    "ActionParameterValueNotInList": ("Warning", "'%1' is none of the values of %2 of %3.", "Choose one of the list."),
    "ActionParameterValueOutOfRange": ("Warning", "'%1' is out of the range of %2 of %3.", "Stay within the range."),
    "ActionParameterValueError": ("Warning", "The value of %1 of %2 cannot be used.", "Correct the value."),
    "ArraySizeTooLong": ("Warning", "%1 has more than %2 members.", "Send fewer."),
    "StringValueTooLong": ("Warning", "'%1' is longer than %2 characters.", "Send a shorter string."),
    "QueryParameterValueTypeError": ("Warning", "'%1' is of the wrong type for %2.", "Correct the query."),
    "QueryParameterValueFormatError": ("Warning", "'%1' has the wrong format for %2.", "Correct the query."),
    "QueryParameterValueError": ("Warning", "The value of %1 cannot be used.", "Correct the query."),
    "QueryParameterOutOfRange": ("Warning", "'%1' for %2 is out of the range %3.", "Stay within the range."),
    "QueryNotSupportedOnResource": ("Warning", "This resource cannot be queried so.", "Leave the query out."),
    "QueryNotSupportedOnOperation": ("Warning", "Queries go with GET and HEAD only.", "Leave the query out."),
    "QueryParameterUnsupported": ("Warning", "The query parameter %1 is not supported.", "Leave it out."),
    "QueryCombinationInvalid": ("Warning", "These query parameters cannot go together.", "Send one of them."),
    "CreateLimitReachedForResource": ("Critical", "No more can be made here.", "Delete one first."),
    "EventSubscriptionLimitExceeded": ("Critical", "There are too many subscriptions.", "Delete one first."),
    "ResourceInUse": ("Warning", "The state of the resource does not allow it.", "See the state, and try again later."),
    "ResourceAlreadyExists": ("Critical", "A %1 with the %2 '%3' is there already.", "Choose another value."),
    "ResourceMissingAtURI": ("Critical", "There is nothing at %1.", "Begin at /redfish/v1/ and follow its links."),
    "InsufficientStorage": ("Critical", "The answer would be too large.", "Ask for less."),
    "PayloadTooLarge": ("Critical", "The body is too large.", "Send less."),
    "OperationNotAllowed": ("Critical", "This resource does not take this method.", "See the header Allow."),
    "OperationTimeout": ("Warning", "No answer came in time; whether it was done is unknown.", "Look, then try again."),
    "PreconditionFailed": ("Critical", "The resource is not what If-Match says.", "Read it again, and then change it."),
    "HeaderInvalid": ("Critical", "The header %1 cannot be used.", "Correct the header."),
    "InternalError": ("Critical", "Something went wrong.", "See the log of the BMC under the trace id."),
    "ServiceTemporarilyUnavailable": ("Critical", "Not now; the service is back in %1 s.", "Try again then."),
    "ServiceDisabled": ("Warning", "The service at %1 is disabled.", "Enable it first."),
    "NoValidSession": ("Critical", "Nobody is logged in.", "Log in: POST to /redfish/v1/SessionService/Sessions."),
    "InsufficientPrivilege": ("Critical", "This needs a privilege that the account has not.", "Ask an administrator."),
    "ResourceAtUriUnauthorized": ("Critical", "'%1' cannot be reached: %2.", "Log in with the right credentials."),
    "PasswordChangeRequired": ("Critical", "The password must be changed first.", "PATCH Password of the account %1."),
    "GenerateSecretKeyRequired": ("Critical", "A second factor must be set up first.", "Set it up at %1."),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the Base registry."""

    key: str
    args: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    """JSON pointers of the properties that it is about: `/Boot/BootSourceOverrideMode`."""
    text: str = ""
    """What exactly happened, in the words of the service; the registry's meaning stands if it is empty."""

    def body(self) -> dict[str, Any]:
        """As it stands in `@Message.ExtendedInfo`."""
        severity, text, resolution = _TEXTS[self.key]
        found: dict[str, Any] = {
            "@odata.type": MESSAGE_TYPE,
            "MessageId": f"{BASE}.{self.key}",
            "Message": self.text or _filled(text, self.args),
            "MessageArgs": list(self.args),
            "MessageSeverity": severity,
            "Severity": severity,
            "Resolution": _filled(resolution, self.args),
        }
        if self.related:
            found["RelatedProperties"] = [pointer if pointer[:1] in "/#" else f"/{pointer}" for pointer in self.related]
        return found


class RedfishError(Exception):
    """A refusal in the words of Redfish."""

    def __init__(self, status: int, *messages: Message, allow: Sequence[str] = (), retry_seconds: int = 0) -> None:
        super().__init__(", ".join(message.key for message in messages))
        self.status = status
        self.messages = messages
        self.allow = tuple(allow)
        """For 405: what is allowed."""
        self.retry_seconds = retry_seconds
        """When to try again; 0 for never said."""

    def body(self) -> dict[str, Any]:
        """The body of the answer (DSP0266, "Error responses")."""
        return error_body(self.messages)


def error_body(messages: Iterable[Message]) -> dict[str, Any]:
    """The body of an answer that only has messages."""
    infos = [message.body() for message in messages]
    key = "GeneralError" if len(infos) > 1 else ""
    first = infos[0]
    return {
        "error": {
            "code": f"{BASE}.{key}" if key else first["MessageId"],
            "message": "See @Message.ExtendedInfo." if key else first["Message"],
            "@Message.ExtendedInfo": infos,
        }
    }


def success() -> dict[str, Any]:
    """The body of an action that is done and has nothing else to say."""
    return {"@Message.ExtendedInfo": [Message("Success").body()]}


def of_error(error: UbmcError, uri: str, related: tuple[str, ...] = ()) -> RedfishError:
    """A refusal of a service in the words of Redfish.

    Args:
        error: what the service said; its text becomes the text of the message.
        uri: of the request.
        related: the properties that it is about, where that is known.
    """
    face = FACES[error.name]
    if isinstance(error, Exhausted) and not error.retry_seconds:  # waiting does not help
        return RedfishError(400, Message("CreateLimitReachedForResource", text=error.message))
    args: tuple[str, ...]
    retry = 0
    match face.redfish:
        case "ResourceMissingAtURI":
            args = (uri,)
        case "PropertyValueError":
            fields = tuple(violation.field for violation in error.violations)
            args = (related[0].removeprefix("/") if related else fields[0] if fields else "",)
        case "ServiceTemporarilyUnavailable":
            retry = math.ceil(error.retry_seconds) if isinstance(error, Exhausted) else 1
            args = (str(retry),)
        case "ResourceAlreadyExists":
            args = ("resource", related[0] if related else "Id", "")
        case _:
            args = ()
    text = "" if face.http == 500 else error.message
    return RedfishError(face.http, Message(face.redfish, args, related, text), retry_seconds=retry)


def pointer(*names: str) -> str:
    """The JSON pointer of a property (RFC 6901, section 3), whatever its name is.

    Args:
        names: from the outermost to the property itself.
    """
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def missing(uri: str) -> RedfishError:
    """Nothing is there."""
    return RedfishError(404, Message("ResourceMissingAtURI", (uri,)))


def _filled(text: str, args: Sequence[str]) -> str:
    for number, arg in enumerate(args, 1):
        text = text.replace(f"%{number}", arg)
    return text
