"""Refusals, with the codes and HTTP statuses of the Developer Guide, "Error Responses"."""

STATUS = {
    "AccessDeniedException": 403,
    "BadRequest": 400,
    "ExpiredTokenException": 403,
    "InsufficientCapacityException": 503,
    "InvalidParameterValueException": 400,
    "InvalidSignatureException": 403,
    "LimitExceededException": 400,
    "MissingAuthenticationTokenException": 400,
    "MissingParameterValueException": 400,
    "PolicyEnforcedException": 400,
    "RequestTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "SerializationException": 400,
    "ServiceUnavailableException": 500,
    "ThrottlingException": 400,
    "UnrecognizedClientException": 400,
}


class Refused(Exception):
    """A request that the service does not do. `code` is the service's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUS[code]

    @property
    def body(self) -> dict[str, str]:
        """The JSON body of the answer."""
        return {"code": self.code, "message": self.message, "type": "Server" if self.status >= 500 else "Client"}


def bad(message: str) -> Refused:
    """A parameter is wrong."""
    return Refused("InvalidParameterValueException", message)


def missing(name: str) -> Refused:
    """A required header or parameter is missing."""
    return Refused("MissingParameterValueException", f"Required parameter missing: {name}")


def not_found(what: str) -> Refused:
    """A vault, archive, upload, job or policy is not there."""
    return Refused("ResourceNotFoundException", f"{what} not found")
